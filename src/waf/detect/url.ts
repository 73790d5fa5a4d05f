/**
 * Server-side request forgery: URLs whose host is the server itself, a private network or a metadata
 * service, in any notation that resolvers accept (RFC 1918, 3927, 4193; decimal, octal, hexadecimal and
 * short IPv4), and schemes that reach more than the web.
 */
import { classOf, DIGIT, HEX, isDigit, isSpace } from './bytes.ts'

/** 0 to 100. `value` is one decoded value; a URL in the middle of prose counts for less. */
export function ssrfScore(value: string): number {
  let start = 0
  while (start < value.length && isSpace(value.charCodeAt(start))) start++
  let best = urlScore(value, start)
  let at = value.indexOf('://', 1)
  for (let n = 0; at > 0 && n < 16 && best < 90; n++) {
    const inner = urlScore(value, schemeStart(value, at))
    const byItself = schemeStart(value, at) === start
    const before = value.charCodeAt(schemeStart(value, at) - 1)
    const inUrl = before === 61 || before === 64 || before === 47 || before === 34 || before === 39
    best = Math.max(best, byItself ? inner : inUrl ? inner - 4 : Math.min(inner, 50))
    at = value.indexOf('://', at + 3)
  }
  return best
}

function schemeStart(value: string, colon: number): number {
  let i = colon
  while (i > 0 && colon - i < 20 && isSchemeChar(value.charCodeAt(i - 1))) i--
  return i
}

function isLetter(c: number): boolean {
  return (c | 32) >= 97 && (c | 32) <= 122
}

function isSchemeChar(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || isDigit(c) || c === 43 || c === 45
}

const SCHEMES = new Map<string, number>([
  ['http', 1],
  ['https', 1],
  ['ws', 1],
  ['wss', 1],
  ['ftp', 2],
  ['ldap', 3],
  ['ldaps', 3],
  ['gopher', 4],
  ['dict', 4],
  ['tftp', 4],
  ['sftp', 3],
  ['file', 4],
  ['netdoc', 4],
  ['jar', 4],
  ['smb', 4],
  ['ssh', 2],
  ['redis', 3],
  ['mysql', 2],
  ['rmi', 4],
  ['telnet', 3],
])

function urlScore(value: string, from: number): number {
  let i = from
  while (i < value.length && i - from < 20 && isSchemeChar(value.charCodeAt(i))) i++
  let kind = 1
  if (value.charCodeAt(i) === 58 && i > from) {
    kind = SCHEMES.get(value.slice(from, i).toLowerCase()) ?? 0
    if (kind === 0) return 0
    i++
  } else {
    i = from
  }
  let slashes = 0
  while (value.charCodeAt(i) === 47 || value.charCodeAt(i) === 92) {
    i++
    slashes++
  }
  if (slashes < 2 && !(kind === 1 && slashes === 0 && i > from && value.charCodeAt(i - 1) === 58))
    return 0
  if (kind === 4) return 88
  let end = i
  while (end < value.length && end - i < 256) {
    const c = value.charCodeAt(end)
    if (
      c === 47 ||
      c === 92 ||
      c === 63 ||
      c === 35 ||
      isSpace(c) ||
      c === 34 ||
      c === 39 ||
      c === 60
    )
      break
    end++
  }
  // "http://10 is not a URL": a sentence goes on behind it.
  if (value.charCodeAt(end) === 32 && isLetter(value.charCodeAt(end + 1))) return 0
  let authority = value.slice(i, end).toLowerCase()
  const user = authority.lastIndexOf('@')
  const hasUser = user >= 0
  if (hasUser) authority = authority.slice(user + 1)
  const host = hostOf(authority)
  const inner = internalHost(host)
  if (inner > 0) return Math.min(96, inner + (kind > 1 ? 6 : 0) + (hasUser ? 4 : 0))
  if (kind === 3) return 82
  return 0
}

function hostOf(authority: string): string {
  if (authority.startsWith('[')) {
    const close = authority.indexOf(']')
    return close < 0 ? authority : authority.slice(0, close + 1)
  }
  const colon = authority.indexOf(':')
  return colon < 0 ? authority : authority.slice(0, colon)
}

function internalHost(host: string): number {
  const name = host.endsWith('.') ? host.slice(0, -1) : host
  if (name === 'localhost' || name.endsWith('.localhost') || name === 'localhost.localdomain')
    return 84
  if (name === 'metadata' || name === 'metadata.google.internal' || name === 'instance-data')
    return 94
  if (
    name === 'host.docker.internal' ||
    name === 'kubernetes.default.svc' ||
    name.endsWith('.internal')
  )
    return 84
  if (name.startsWith('[')) return internalV6(name)
  const enclosed = encloses(name)
  if (enclosed !== '') return internalHost(enclosed)
  const address = ipv4Of(name)
  if (address < 0) return 0
  const a = Math.floor(address / 0x1000000)
  const b = Math.floor(address / 0x10000) % 256
  if (address === 0xa9fea9fe) return 95
  const base =
    a === 127 ||
    a === 0 ||
    a === 10 ||
    (a === 192 && b === 168) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 169 && b === 254) ||
    (a === 100 && b >= 64 && b < 128)
  if (a === 192 && b === 0) return 84
  if (!base) return isPlainV4(name) ? 0 : 84
  return isPlainV4(name) ? (a === 127 || a === 0 ? 86 : 84) : 92
}

/** Circled and other digits that resolvers normalise. */
function encloses(name: string): string {
  let out = ''
  let changed = false
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i)
    if (c >= 0x2460 && c <= 0x2468) {
      out += String(c - 0x245f)
      changed = true
    } else if (c === 0x24ea) {
      out += '0'
      changed = true
    } else if (c === 0x3002 || c === 0xff0e || c === 0xff61) {
      out += '.'
      changed = true
    } else out += name[i]
  }
  return changed ? out : ''
}

function isPlainV4(name: string): boolean {
  const parts = name.split('.')
  if (parts.length !== 4) return false
  for (const part of parts) if (part.length > 1 && part.startsWith('0')) return false
  return !name.includes('x')
}

/** inet_aton: one to four parts, decimal, octal or hexadecimal; -1 when it is no address. */
function ipv4Of(name: string): number {
  if (name === '' || name.length > 40) return -1
  const first = classOf(name.charCodeAt(0))
  if ((first & DIGIT) === 0) return -1
  const parts = name.split('.')
  if (parts.length > 4) return -1
  let address = 0
  for (let i = 0; i < parts.length; i++) {
    const number = partOf(parts[i] as string)
    if (number < 0) return -1
    const isLast = i === parts.length - 1
    if (!isLast) {
      if (number > 255) return -1
      address += number * 256 ** (3 - i)
    } else {
      if (number >= 256 ** (4 - i)) return -1
      address += number
    }
  }
  return address
}

function partOf(part: string): number {
  if (part === '') return -1
  const isHex = part.startsWith('0x')
  const isOctal = !isHex && part.length > 1 && part.startsWith('0')
  let number = 0
  for (let i = isHex ? 2 : 0; i < part.length; i++) {
    const c = part.charCodeAt(i)
    if (isHex ? (classOf(c) & HEX) === 0 : !isDigit(c)) return -1
  }
  number = Number.parseInt(isHex ? part.slice(2) : part, isHex ? 16 : isOctal ? 8 : 10)
  return Number.isNaN(number) ? -1 : number
}

function internalV6(name: string): number {
  const text = name.slice(1, name.endsWith(']') ? -1 : undefined)
  if (!text.includes(':')) return 0
  if (text === '::1' || text === '::' || /^(?:0+:){7}0*1?$/.test(text)) return 90
  const mapped = text.slice(text.lastIndexOf(':') + 1)
  if (mapped.includes('.')) return internalHost(mapped) > 0 ? 92 : 0
  if (text.startsWith('::ffff:')) return 92
  return text.startsWith('fc') || text.startsWith('fd') || text.startsWith('fe80') ? 84 : 0
}

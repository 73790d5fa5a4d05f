/**
 * The one choke point for what may leave the gateway about a person: client addresses are cut to a
 * network, credentials are replaced, subjects are hashed. Log, events, explanations and debug headers
 * all take their strings from here.
 */
import type { MaskConfig } from '../config/sections/telemetry.ts'
import type { Client, IpAddress } from '../exchange.ts'
import { ipv6FromWords, parseIp } from '../http/ip.ts'
import { sipHash } from './siphash.ts'

/** What stands in place of a hidden value. */
export const MASKED = '***'

const CREDENTIAL_HEADERS = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'api-key',
  'apikey',
  'x-auth-token',
  'x-access-token',
  'x-csrf-token',
  'x-xsrf-token',
  'x-amz-security-token',
  'x-goog-iam-authorization-token',
  'cf-access-jwt-assertion',
  'x-forwarded-client-cert',
  'www-authenticate',
  'proxy-authenticate',
  'authentication-info',
  'sec-websocket-key',
  'meridian-debug',
]

/** Clients' addresses. `forwarded` has a syntax of its own, and is hidden as a whole. */
const ADDRESS_HEADERS: ReadonlySet<string> = new Set([
  'x-forwarded-for',
  'forwarded',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
])
const URL_HEADERS: ReadonlySet<string> = new Set(['referer', 'origin', 'location'])

/** Compared without case, dashes and underscores; `Policy` and `Key-Pair-Id` sign CDN links. */
const CREDENTIAL_KEYS = [
  'token',
  'accesstoken',
  'idtoken',
  'refreshtoken',
  'authtoken',
  'sessiontoken',
  'csrftoken',
  'xsrftoken',
  'xamzsecuritytoken',
  'xamzcredential',
  'xamzsignature',
  'xgoogcredential',
  'xgoogsignature',
  'ossaccesskeyid',
  'awsaccesskeyid',
  'accesskey',
  'accesskeyid',
  'key',
  'apikey',
  'xapikey',
  'secret',
  'clientsecret',
  'secretkey',
  'privatekey',
  'password',
  'passwd',
  'passphrase',
  'pwd',
  'pass',
  'pin',
  'otp',
  'totp',
  'code',
  'codeverifier',
  'state',
  'nonce',
  'assertion',
  'clientassertion',
  'samlrequest',
  'samlresponse',
  'signature',
  'sig',
  'hmac',
  'hash',
  'jwt',
  'bearer',
  'auth',
  'authorization',
  'credential',
  'credentials',
  'session',
  'sessionid',
  'sid',
  'ticket',
  'policy',
  'keypairid',
]

const SCHEME = /^[A-Za-z][A-Za-z0-9-]{0,31}(?= )/
const NAME = /[A-Za-z0-9_-]+/g
/** Answers kept for keys and subjects already seen; dropped as a whole when full. */
const MEMO_LIMIT = 1024

function normalised(key: string): string {
  return key.toLowerCase().replace(/[-_]/g, '')
}

function decoded(key: string): string {
  if (!key.includes('%') && !key.includes('+')) return key
  try {
    return decodeURIComponent(key.replaceAll('+', ' '))
  } catch {
    // Not valid percent-encoding: judged as it stands.
    return key
  }
}

/** Letters, digits, `-` and `_`: base64url. */
function runEnd(text: string, start: number): number {
  let i = start
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const isLetter = (c | 32) >= 97 && (c | 32) <= 122
    if (!isLetter && !(c >= 48 && c <= 57) && c !== 45 && c !== 95) break
  }
  return i
}

/**
 * Replaces `header.payload.signature` that begins like a JSON object in base64url. Not a regular
 * expression: after a run that is not a token the search goes on behind it, so the cost stays linear.
 */
function withoutTokens(text: string): string {
  let out = ''
  let copied = 0
  let at = text.indexOf('eyJ')
  while (at >= 0) {
    const header = runEnd(text, at)
    let end = header
    if (text[header] === '.') {
      const payload = runEnd(text, header + 1)
      end = payload
      if (payload > header + 1 && text[payload] === '.') {
        end = runEnd(text, payload + 1)
        out += text.slice(copied, at) + MASKED
        copied = end
      }
    }
    at = text.indexOf('eyJ', end)
  }
  return copied === 0 ? text : out + text.slice(copied)
}

export class Mask {
  readonly #headers: ReadonlySet<string>
  readonly #keys: ReadonlySet<string>
  readonly #ipv4Mask: number
  readonly #ipv6Bits: number
  readonly #subjectMode: MaskConfig['subject']
  readonly #subjectKey: Uint8Array
  readonly #keyMemo = new Map<string, boolean>()
  readonly #subjectMemo = new Map<string, string>()

  /** @param subjectKey 16 bytes, from the configured secret (`sipKey`) or drawn at start */
  constructor(config: MaskConfig, subjectKey: Uint8Array) {
    this.#headers = new Set([
      ...CREDENTIAL_HEADERS,
      ...config.headers.map((name) => name.toLowerCase()),
    ])
    this.#keys = new Set([...CREDENTIAL_KEYS, ...config.queryKeys.map(normalised)])
    this.#ipv4Mask = config.ipv4Bits === 0 ? 0 : (0xffffffff << (32 - config.ipv4Bits)) >>> 0
    this.#ipv6Bits = config.ipv6Bits
    this.#subjectMode = config.subject
    this.#subjectKey = subjectKey
  }

  /** The address with its host part zeroed; empty when there is none. */
  ip(ip: IpAddress | undefined): string {
    if (ip === undefined) return ''
    if (ip.family === 4) {
      const word = (ip.words[0] as number) & this.#ipv4Mask
      return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`
    }
    if (this.#ipv6Bits === 128) return ip.text
    const words: number[] = []
    for (let i = 0; i < 4; i++) {
      const kept = Math.min(32, Math.max(0, this.#ipv6Bits - i * 32))
      const mask = kept === 0 ? 0 : (0xffffffff << (32 - kept)) >>> 0
      words.push(((ip.words[i] as number) & mask) >>> 0)
    }
    return ipv6FromWords(words).text
  }

  /** As `ip`, of a client; kept with it, since it mostly comes again. */
  client(client: Client): string {
    if (client.shown?.by !== this) client.shown = { by: this, text: this.ip(client.ip) }
    return client.shown.text
  }

  /** Whether a header field carries a credential; `name` must be lower case. */
  hidesHeader(name: string): boolean {
    return this.#headers.has(name)
  }

  /** Whether a query key, form field or the last part of `user[password]` names a credential. */
  hidesKey(key: string): boolean {
    const known = this.#keyMemo.get(key)
    if (known !== undefined) return known
    const parts = decoded(key).match(NAME) ?? []
    const hidden = this.#keys.has(normalised(parts.at(-1) ?? '')) || this.#keys.has(normalised(key))
    if (this.#keyMemo.size >= MEMO_LIMIT) this.#keyMemo.clear()
    if (key.length <= 64) this.#keyMemo.set(key, hidden)
    return hidden
  }

  /** A header value that may be shown: credentials keep at most their scheme (`Bearer ***`). */
  header(name: string, value: string): string {
    if (!this.#headers.has(name)) {
      if (ADDRESS_HEADERS.has(name)) return this.#addresses(value)
      return URL_HEADERS.has(name) ? this.url(value) : this.text(value)
    }
    const scheme = name.endsWith('authorization') ? SCHEME.exec(value) : null
    return scheme === null ? MASKED : `${scheme[0]} ${MASKED}`
  }

  /** A list of addresses, each cut to its network; what is not an address is hidden. */
  #addresses(value: string): string {
    return value
      .split(',')
      .map((hop) => this.ip(parseIp(hop.trim())) || MASKED)
      .join(', ')
  }

  /** A query without `?`, with the values of credential keys replaced. */
  query(query: string): string {
    if (query === '') return ''
    let out = ''
    let copied = 0
    let start = 0
    let equals = query.indexOf('=')
    const length = query.length
    while (start < length && equals >= 0) {
      let end = query.indexOf('&', start)
      if (end < 0) end = length
      if (equals < start) equals = query.indexOf('=', start)
      if (equals >= 0 && equals < end - 1 && this.hidesKey(query.slice(start, equals))) {
        out += query.slice(copied, equals + 1) + MASKED
        copied = end
      }
      start = end + 1
    }
    return this.text(copied === 0 ? query : out + query.slice(copied))
  }

  /** A URL from a header such as Referer: without user information and fragment, its query masked. */
  url(url: string): string {
    if (url === '') return ''
    const hash = url.indexOf('#')
    let text = hash < 0 ? url : url.slice(0, hash)
    const authority = text.indexOf('//')
    if (authority >= 0) {
      const slash = text.indexOf('/', authority + 2)
      const at = text.lastIndexOf('@', slash < 0 ? text.length : slash)
      if (at > authority) text = text.slice(0, authority + 2) + text.slice(at + 1)
    }
    const mark = text.indexOf('?')
    if (mark < 0) return this.text(text)
    return this.text(text.slice(0, mark + 1)) + this.query(text.slice(mark + 1))
  }

  /** Any other text from a client: JSON Web Tokens in it are replaced wherever they stand. */
  text(text: string): string {
    return text.includes('eyJ') ? withoutTokens(text) : text
  }

  /** What a rule matched, hidden when the place it matched in names a credential. */
  match(target: string | undefined, match: string): string {
    for (const name of target?.match(NAME) ?? []) {
      const lower = name.toLowerCase()
      if (this.#headers.has(lower) || this.#keys.has(normalised(name))) return MASKED
      if (ADDRESS_HEADERS.has(lower)) return MASKED
      if (URL_HEADERS.has(lower)) return this.url(match)
    }
    return match.includes('=') ? this.query(match) : this.text(match)
  }

  /** The subject of a principal, as configured; empty stays empty. */
  subject(subject: string): string {
    if (subject === '' || this.#subjectMode === 'plain') return subject
    if (this.#subjectMode === 'mask') return subject.slice(0, 2) + MASKED
    const known = this.#subjectMemo.get(subject)
    if (known !== undefined) return known
    const hash = sipHash(this.#subjectKey, subject)
    if (this.#subjectMemo.size >= MEMO_LIMIT) this.#subjectMemo.clear()
    this.#subjectMemo.set(subject, hash)
    return hash
  }
}

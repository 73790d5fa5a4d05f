/**
 * IP addresses in binary, parsed strictly: dotted quads without leading zeros or shorthand, IPv6 by
 * RFC 4291 with RFC 5952 output. Lenient parsers give confident wrong answers ("1.2.3" as an Australian
 * address), so nothing else may enter the geo tables or an address list.
 */
import type { IpAddress } from '../exchange.ts'

/** @returns the unsigned 32-bit value, or -1 when `text` is not a strict dotted quad. */
export function parseIpv4Word(text: string): number {
  const length = text.length
  if (length < 7 || length > 15) return -1
  let value = 0
  let octet = -1
  let dots = 0
  let octetStart = 0
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code === 46) {
      if (octet < 0 || dots === 3) return -1
      value = value * 256 + octet
      octet = -1
      dots++
      octetStart = i + 1
    } else if (code >= 48 && code <= 57) {
      if (octet === 0 && i > octetStart) return -1
      octet = octet < 0 ? code - 48 : octet * 10 + code - 48
      if (octet > 255) return -1
    } else {
      return -1
    }
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1
}

function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`
}

/** Eight 16-bit groups, or undefined. */
function parseIpv6Groups(text: string): number[] | undefined {
  if (text.length < 2 || text.length > 45) return undefined
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0] as string, halves.length === 1)
  if (head === undefined) return undefined
  if (halves.length === 1) return head.length === 8 ? head : undefined
  const tail = parseGroups(halves[1] as string, true)
  if (tail === undefined || head.length + tail.length > 7) return undefined
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return []
  const parts = text.split(':')
  const groups: number[] = []
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string
    if (part.includes('.')) {
      if (!mayEndInIpv4 || i !== parts.length - 1) return undefined
      const word = parseIpv4Word(part)
      if (word < 0) return undefined
      groups.push(word >>> 16, word & 0xffff)
    } else {
      if (part.length < 1 || part.length > 4) return undefined
      const value = parseHex(part)
      if (value < 0) return undefined
      groups.push(value)
    }
  }
  return groups
}

function parseHex(text: string): number {
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i) | 32
    const digit = code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 : -1
    if (digit < 0) return -1
    value = value * 16 + digit
  }
  return value
}

/** RFC 5952: lower case, the longest run of two or more zero groups (the first of equals) as `::`. */
function formatIpv6(groups: readonly number[]): string {
  let bestStart = -1
  let bestLength = 1
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && groups[end] === 0) end++
    if (end - i > bestLength) {
      bestStart = i
      bestLength = end - i
    }
    if (end > i) i = end
  }
  const hex = groups.map((group) => group.toString(16))
  if (bestStart < 0) return hex.join(':')
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`
}

export function ipv4FromWord(word: number, text = formatIpv4(word)): IpAddress {
  return { family: 4, words: [word], text }
}

/**
 * The IPv4 address inside a mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96) or 6to4 (2002::/16) one, as a
 * word; -1 for any other IPv6 address.
 */
function embeddedIpv4(groups: readonly number[]): number {
  const [a, b, c, d, e, f, g, h] = groups as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const low = g * 65536 + h
  if (a === 0 && b === 0 && c === 0 && d === 0 && e === 0 && f === 0xffff) return low
  if (a === 0x64 && b === 0xff9b && c === 0 && d === 0 && e === 0 && f === 0) return low
  if (a === 0x2002) return b * 65536 + c
  return -1
}

/** Parses one address; a zone (`%eth0`) or anything around it makes it invalid. */
export function parseIp(text: string): IpAddress | undefined {
  const word = parseIpv4Word(text)
  if (word >= 0) return ipv4FromWord(word, text)
  if (!text.includes(':')) return undefined
  const groups = parseIpv6Groups(text)
  if (groups === undefined) return undefined
  const embedded = embeddedIpv4(groups)
  if (embedded >= 0) return ipv4FromWord(embedded)
  return ipv6FromGroups(groups)
}

function ipv6FromGroups(groups: readonly number[]): IpAddress {
  const words = [0, 2, 4, 6].map((i) => (groups[i] as number) * 65536 + (groups[i + 1] as number))
  return { family: 6, words, text: formatIpv6(groups) }
}

/** From four unsigned 32-bit words; embedded IPv4 is not unwrapped. For ranges and lists. */
export function ipv6FromWords(words: readonly number[]): IpAddress {
  const groups: number[] = []
  for (const word of words) groups.push(word >>> 16, word & 0xffff)
  return { family: 6, words, text: formatIpv6(groups) }
}

/** Parses without unwrapping embedded IPv4: for CIDR blocks such as `::ffff:0:0/96`. */
export function parseIpLiterally(text: string): IpAddress | undefined {
  const word = parseIpv4Word(text)
  if (word >= 0) return ipv4FromWord(word, text)
  const groups = text.includes(':') ? parseIpv6Groups(text) : undefined
  return groups === undefined ? undefined : ipv6FromGroups(groups)
}

/** Orders addresses of one family; IPv4 sorts before IPv6. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  if (a.family !== b.family) return a.family - b.family
  for (let i = 0; i < a.words.length; i++) {
    const difference = (a.words[i] as number) - (b.words[i] as number)
    if (difference !== 0) return difference
  }
  return 0
}

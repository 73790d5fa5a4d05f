/**
 * Sets of addresses and blocks, compiled to sorted disjoint ranges: one binary search a question.
 */
import type { IpAddress } from '../exchange.ts'
import { compareIp, ipv4FromWord, ipv6FromWords, parseIpLiterally } from './ip.ts'

/** An inclusive range of addresses of one family. */
export interface IpRange {
  readonly first: IpAddress
  readonly last: IpAddress
}

/**
 * Parses `address` or `address/bits`. Host bits that are set make it invalid (`10.0.0.1/8` is a mistake
 * that would silently mean something else).
 */
export function parseCidr(text: string): IpRange | undefined {
  const slash = text.indexOf('/')
  const first = parseIpLiterally(slash < 0 ? text : text.slice(0, slash))
  if (first === undefined) return undefined
  const width = first.family === 4 ? 32 : 128
  const bitsText = slash < 0 ? String(width) : text.slice(slash + 1)
  if (!/^(0|[1-9][0-9]{0,2})$/.test(bitsText)) return undefined
  const bits = Number(bitsText)
  if (bits > width) return undefined
  const lastWords: number[] = []
  for (let i = 0; i < first.words.length; i++) {
    const kept = Math.min(32, Math.max(0, bits - i * 32))
    const hostMask = kept === 32 ? 0 : kept === 0 ? 0xffffffff : 2 ** (32 - kept) - 1
    const word = first.words[i] as number
    if ((word & hostMask) !== 0) return undefined
    lastWords.push((word | hostMask) >>> 0)
  }
  const last = first.family === 4 ? ipv4FromWord(lastWords[0] as number) : ipv6FromWords(lastWords)
  return { first, last }
}

export class CidrSet {
  readonly #ranges: readonly IpRange[]

  constructor(ranges: readonly IpRange[]) {
    const sorted = [...ranges].sort((a, b) => compareIp(a.first, b.first))
    const merged: IpRange[] = []
    for (const range of sorted) {
      const previous = merged.at(-1)
      if (
        previous !== undefined &&
        previous.first.family === range.first.family &&
        compareIp(range.first, previous.last) <= 0
      ) {
        if (compareIp(range.last, previous.last) > 0) {
          merged[merged.length - 1] = { first: previous.first, last: range.last }
        }
      } else {
        merged.push(range)
      }
    }
    this.#ranges = merged
  }

  /** @throws RangeError when a text is not an address or block; callers validate first. */
  static of(texts: readonly string[]): CidrSet {
    return new CidrSet(
      texts.map((text) => {
        const range = parseCidr(text)
        if (range === undefined) throw new RangeError(`not an IP address or CIDR: ${text}`)
        return range
      }),
    )
  }

  get size(): number {
    return this.#ranges.length
  }

  contains(ip: IpAddress | undefined): boolean {
    if (ip === undefined || this.#ranges.length === 0) return false
    let low = 0
    let high = this.#ranges.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const range = this.#ranges[middle] as IpRange
      if (compareIp(ip, range.first) < 0) high = middle - 1
      else if (compareIp(ip, range.last) > 0) low = middle + 1
      else return true
    }
    return false
  }
}

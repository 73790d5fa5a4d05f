/**
 * application/x-www-form-urlencoded and query strings (WHATWG URL §5.1), byte-exact: order and duplicates
 * stay, an invalid escape stays as it is, nothing is replaced by U+FFFD.
 */
import { urlDecode } from '../engine/decoders.ts'
import type { Pair } from './limits.ts'

/**
 * Pairs without decoding.
 * @param limit most pairs; further ones are left out
 */
export function splitPairs(text: string, limit: number): Pair[] {
  const pairs: Pair[] = []
  let at = 0
  while (at < text.length && pairs.length < limit) {
    let end = text.indexOf('&', at)
    if (end < 0) end = text.length
    if (end > at) {
      const equals = text.indexOf('=', at)
      pairs.push(
        equals < 0 || equals >= end
          ? { name: text.slice(at, end), value: '' }
          : { name: text.slice(at, equals), value: text.slice(equals + 1, end) },
      )
    }
    at = end + 1
  }
  return pairs
}

/** As `splitPairs`, decoded once: `+` is a space, `%hh` a byte. */
export function decodedPairs(text: string, limit: number): Pair[] {
  const pairs = splitPairs(text, limit)
  for (let i = 0; i < pairs.length; i++) {
    const { name, value } = pairs[i] as Pair
    pairs[i] = { name: urlDecode(name), value: urlDecode(value) }
  }
  return pairs
}

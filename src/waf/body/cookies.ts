/** The Cookie field (RFC 6265 §4.2.1) as user agents and origins really read it: split at semicolons. */
import type { Pair } from './limits.ts'

export function cookiePairs(field: string, limit: number): Pair[] {
  const pairs: Pair[] = []
  let at = 0
  while (at < field.length && pairs.length < limit) {
    let end = field.indexOf(';', at)
    if (end < 0) end = field.length
    let start = at
    while (start < end && (field.charCodeAt(start) === 32 || field.charCodeAt(start) === 9)) start++
    if (start < end) {
      const equals = field.indexOf('=', start)
      const hasValue = equals >= 0 && equals < end
      pairs.push({
        name: field.slice(start, hasValue ? equals : end),
        value: hasValue ? field.slice(equals + 1, end) : '',
      })
    }
    at = end + 1
  }
  return pairs
}

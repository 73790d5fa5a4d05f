/** Documents and serialised objects that do something when they are read. */
import { isDigit, isWord, skipSpace } from './bytes.ts'

/** A document type other than HTML's own, with an external or an internal subset (XML 1.0 §2.8). */
export function doctypeScore(value: string): number {
  let at = value.indexOf('<!')
  for (let n = 0; at >= 0 && n < 32; n++) {
    if (value.slice(at + 2, at + 9).toLowerCase() === 'doctype') {
      const from = skipSpace(value, at + 9)
      let end = from
      while (
        isWord(value.charCodeAt(end)) ||
        value.charCodeAt(end) === 58 ||
        value.charCodeAt(end) === 45
      )
        end++
      const name = value.slice(from, Math.min(end, from + 32)).toLowerCase()
      const next = skipSpace(value, end)
      if (value.charCodeAt(next) === 91) return 86
      const keyword = value.slice(next, next + 6).toLowerCase()
      const external = keyword === 'system' || keyword === 'public'
      if (external && name !== 'html' && name !== 'svg') return 86
    }
    at = value.indexOf('<!', at + 2)
  }
  return 0
}

/** PHP: `O:8:"stdClass":1:{`, `a:1:{i:0;`, `C:11:"ArrayObject":`. */
export function serializedScore(value: string): number {
  let at = value.indexOf(':')
  for (let n = 0; at > 0 && n < 64; n++) {
    const kind = value.charCodeAt(at - 1)
    const isObject = kind === 79 || kind === 67
    if ((isObject || kind === 97) && !isWord(value.charCodeAt(at - 2))) {
      let i = at + 1
      if (value.charCodeAt(i) === 43) i++
      const first = i
      while (i - first < 8 && isDigit(value.charCodeAt(i))) i++
      if (i > first && value.charCodeAt(i) === 58) {
        if (isObject && value.charCodeAt(i + 1) === 34) return 90
        if (kind === 97 && value.charCodeAt(i + 1) === 123) {
          const item = value.charCodeAt(i + 2)
          if ((item === 105 || item === 115 || item === 125) && value.indexOf('O:', i) > 0)
            return 88
        }
      }
    }
    at = value.indexOf(':', at + 1)
  }
  return 0
}

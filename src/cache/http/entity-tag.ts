/** Entity tags (RFC 9110 §8.8.3) and the lists of them in If-None-Match (§13.1.2). */

/** Opaque part with its quotes; W/ taken off. Weak comparison is equality of these. */
export function opaqueTag(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag
}

export function isStrongTag(tag: string | undefined): tag is string {
  return tag?.startsWith('"') === true && tag.length >= 2 && tag.endsWith('"')
}

/** Strong comparison (RFC 9110 §8.8.3.2). */
export function strongMatch(a: string | undefined, b: string | undefined): boolean {
  return isStrongTag(a) && a === b
}

/**
 * Whether a stored tag is in an If-None-Match list, by weak comparison. A tag without quotes is not
 * valid, yet origins send them: it then has to be equal to the letter.
 * @param list the field value, all lines joined; `*` matches anything
 */
export function matchesAny(list: string, stored: string | undefined): boolean {
  const trimmed = list.trim()
  if (trimmed === '*') return true
  if (stored === undefined) return false
  if (trimmed === stored) return true
  const wanted = opaqueTag(stored)
  let i = 0
  while (i < trimmed.length) {
    const char = trimmed[i]
    if (char === ',' || char === ' ' || char === '\t') {
      i++
      continue
    }
    const start = char === 'W' && trimmed[i + 1] === '/' ? i + 2 : i
    if (trimmed[start] === '"') {
      const close = trimmed.indexOf('"', start + 1)
      if (close < 0) return false
      if (trimmed.slice(start, close + 1) === wanted) return true
      i = close + 1
    } else {
      let end = start
      while (end < trimmed.length && trimmed[end] !== ',') end++
      if (trimmed.slice(start, end).trimEnd() === stored) return true
      i = end
    }
  }
  return false
}

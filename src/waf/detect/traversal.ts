/** Path traversal: steps up the tree, in the separators that file systems and servers take. */

export interface TraversalFinding {
  readonly score: number
  readonly steps: number
}

const DOT = 46

function isSeparator(c: number): boolean {
  return c === 47 || c === 92
}

/**
 * Counts `../` and its kin (`..\`, `..;/`, `....//`, `.././`, `..\/`) and weighs them: one step is a relative link, three in
 * a row lead nowhere a page would.
 */
export function traversalScore(value: string): TraversalFinding {
  let steps = 0
  let odd = false
  let backslash = false
  let at = value.indexOf('..')
  while (at >= 0) {
    let i = at + 2
    while (value.charCodeAt(i) === DOT) i++
    const dots = i - at
    let c = value.charCodeAt(i)
    if (c === 59 || c === 0) {
      if (isSeparator(value.charCodeAt(i + 1))) {
        odd = true
        i++
        c = value.charCodeAt(i)
      }
    }
    const before = at === 0 ? 47 : value.charCodeAt(at - 1)
    const bounded =
      isSeparator(before) ||
      before <= 32 ||
      before === 61 ||
      before === 34 ||
      before === 39 ||
      before === 59
    if (isSeparator(c)) {
      if (dots === 2 || (dots === 4 && isSeparator(value.charCodeAt(i + 1)))) {
        if (bounded || steps > 0 || dots === 2) steps++
        if (dots === 4) odd = true
        if (c === 92) backslash = true
      }
      if (isSeparator(value.charCodeAt(i + 1))) odd = true
    } else if (Number.isNaN(c) && dots === 2 && bounded && at > 0) {
      steps++
    }
    at = value.indexOf('..', i)
  }
  if (steps === 0) return { score: 0, steps }
  if (steps >= 3) return { score: 90, steps }
  if (odd) return { score: 86, steps }
  // A value that is nothing but a path, against a path in a sentence.
  const alone = /^[/\\]?\.\./.test(value) && !value.includes(' ')
  if (steps === 2) return { score: backslash || alone ? 83 : 72, steps }
  return { score: backslash ? 60 : 40, steps }
}

/** A NUL byte in front of an extension, or at the end of a name: cut-off for C libraries. */
export function hasNulSuffix(value: string): boolean {
  const at = value.indexOf('\0')
  return at > 0 && (value.length - at <= 8 || value.charCodeAt(at + 1) === DOT)
}

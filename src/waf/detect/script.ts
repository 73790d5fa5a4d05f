/**
 * JavaScript that a value brings along: behind a string that it closes, or written without letters.
 * The markup around scripts is the business of `xss.ts`.
 */
import { isSpace } from './bytes.ts'

/** Length from which a run of JSFuck characters is no smiley. */
const FUCK_LENGTH = 24

export function scriptScore(value: string): number {
  return Math.max(letterless(value), breakout(value))
}

/** `[][(![]+[])[+[]]]`: six characters suffice for any program. */
function letterless(value: string): number {
  // So long a run covers one of any so many places: the others need no look.
  for (let at = FUCK_LENGTH - 1; at < value.length; at += FUCK_LENGTH) {
    if (!isInRun(value.charCodeAt(at))) continue
    while (at > 0 && isInRun(value.charCodeAt(at - 1))) at--
    let run = 0
    let plus = 0
    for (; at < value.length; at++) {
      const c = value.charCodeAt(at)
      if (!isInRun(c)) break
      if (!isSpace(c)) run++
      if (c === 43 || c === 33) plus++
      if (run >= FUCK_LENGTH && plus >= 4) return 92
    }
  }
  return 0
}

function isInRun(c: number): boolean {
  return c === 91 || c === 93 || c === 40 || c === 41 || c === 33 || c === 43 || isSpace(c)
}

const CALL =
  /^[\s)};]*(?:[-+*/^|&;,=<>?:]|\|\||&&|in\b|instanceof\b)\s*(?:\(?\s*)(?:alert|confirm|prompt|eval|fetch|import|open|location|document|window|self|top|parent|settimeout|setinterval|function|throw|new\s+function|print|console|\{)\s*(?:[([`.={;]|\s*on)/i

/** `';alert(1)//`, `"-confirm`x`-"`: a call where the string ended. */
function breakout(value: string): number {
  let tries = 0
  for (let i = 0; i < value.length && tries < 8; i++) {
    const c = value.charCodeAt(i)
    if (c === 39 || c === 34 || c === 96) {
      tries++
      if (CALL.test(value.slice(i + 1, i + 60))) return 86
    }
  }
  return 0
}

/** Leaves texts out of the code of a Worker that only `meridian schema` and the documentation read. */

const CALL = 'v.description('

/**
 * @param code of a module of the config's schema, as compiled
 * @returns the same with empty descriptions
 */
export function withoutDescriptions(code: string): string {
  let result = ''
  let from = 0
  for (;;) {
    const at = code.indexOf(CALL, from)
    if (at < 0) return result + code.slice(from)
    const begin = at + CALL.length
    const end = endOfStrings(code, begin)
    result += code.slice(from, begin)
    // Anything but a literal is left as it is.
    if (end >= 0) result += "''"
    from = end < 0 ? begin : end
  }
}

/** Where the closing bracket is, if there is nothing but string literals before it; else -1. */
function endOfStrings(code: string, begin: number): number {
  let at = begin
  for (;;) {
    const char = code.charAt(at)
    if (char === ')') return at
    if (char === '' || char === '$') return -1
    if (char === "'" || char === '"' || char === '`') {
      at = endOfString(code, at)
      if (at < 0) return -1
    } else if (/[\s+,]/.test(char)) at++
    else return -1
  }
}

function endOfString(code: string, begin: number): number {
  const quote = code.charAt(begin)
  for (let at = begin + 1; at < code.length; at++) {
    const char = code.charAt(at)
    if (char === '\\') at++
    else if (char === '$' && quote === '`' && code.charAt(at + 1) === '{') return -1
    else if (char === quote) return at + 1
  }
  return -1
}

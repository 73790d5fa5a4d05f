/**
 * The strings of a JSON text, keys included, read without building it: duplicates stay, depth does not
 * matter. Stops at the first thing that is no JSON.
 */

const MAX_LEAVES = 256

/** Raw contents of the strings, escapes not undone; empty when the value is no object or array. */
export function jsonLeaves(value: string): string[] {
  const leaves: string[] = []
  let i = 0
  while (value.charCodeAt(i) <= 32) i++
  const first = value.charCodeAt(i)
  if (first !== 123 && first !== 91) return leaves
  const second = firstInside(value, i + 1)
  if (first === 123 && second !== 34 && second !== 125) return leaves
  for (; i < value.length && leaves.length < MAX_LEAVES; i++) {
    if (value.charCodeAt(i) !== 34) continue
    let end = i + 1
    while (end < value.length && value.charCodeAt(end) !== 34)
      end += value.charCodeAt(end) === 92 ? 2 : 1
    if (end > i + 1) leaves.push(value.slice(i + 1, end))
    i = end
  }
  return leaves
}

function firstInside(value: string, from: number): number {
  let i = from
  while (value.charCodeAt(i) <= 32) i++
  return value.charCodeAt(i)
}

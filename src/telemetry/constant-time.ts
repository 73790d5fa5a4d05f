/** Comparison of secrets whose time says nothing about where they differ. */

const encoder = new TextEncoder()

/** Whether two secrets are equal; takes time by the length of `given` only, which the caller knows. */
export function secretEquals(given: string, expected: string): boolean {
  const a = encoder.encode(given)
  const b = encoder.encode(expected)
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) {
    difference |= (a[i] as number) ^ (b[b.length === 0 ? 0 : i % b.length] ?? 0)
  }
  return difference === 0
}

/**
 * ROCA (CVE-2017-15361; Nemec et al., "The Return of Coppersmith's Attack", CCS 2017): keys of one maker's
 * chips have primes of the form k·M + (65537^a mod M), so the modulus is a power of 65537 modulo each
 * small prime in M. A random modulus passes all of these tests once in 2^27 or more.
 */

interface ResidueTest {
  readonly prime: number
  readonly residues: ReadonlySet<number>
}

/** Made for the first key: most isolates never see one. */
let known: readonly ResidueTest[] | undefined

/** Small primes for which the powers of 65537 are a proper part of the residues. */
function residueTests(): readonly ResidueTest[] {
  return primes(167)
    .map((prime) => {
      const residues = new Set<number>()
      for (let power = 1; !residues.has(power); power = (power * 65_537) % prime) {
        residues.add(power)
      }
      return { prime, residues }
    })
    .filter(({ prime, residues }) => residues.size < prime - 1)
}

function primes(last: number): number[] {
  const found: number[] = []
  for (let n = 3; n <= last; n += 2) if (found.every((prime) => n % prime !== 0)) found.push(n)
  return found
}

/** @param modulus big-endian */
export function hasRocaFingerprint(modulus: Uint8Array): boolean {
  known ??= residueTests()
  return known.every(({ prime, residues }) => {
    let rest = 0
    for (const byte of modulus) rest = (rest * 256 + byte) % prime
    return residues.has(rest)
  })
}

/**
 * Which clients: everything that acts on a share of them (weights, dials, spillover, rollouts) draws from
 * a hash of the client, so that a client stays where it is and a larger share only adds clients.
 */

/** 32-bit FNV-1a over UTF-16 units with MurmurHash3's finalizer: spreads short, similar keys evenly. */
export function hashKey(text: string, seed = 0): number {
  let hash = 0x811c9dc5 ^ seed
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return mix(hash)
}

/** Another hash of the same client for each salt, independent of the others. */
export function rehash(hash: number, salt: number): number {
  return mix(hash ^ Math.imul(salt, 0x9e3779b1))
}

/** A hash as a number in [0, 1). */
export function unit(hash: number): number {
  return (hash >>> 0) / 4_294_967_296
}

function mix(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

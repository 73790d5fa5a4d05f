/**
 * Request ids: 26 characters of Crockford base 32, sortable by time and unique across nodes without
 * coordination (48 bits of milliseconds, 40 bits of node, 40 bits of counter; the ULID layout).
 */
import type { Millis } from '../exchange.ts'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

function encode(value: number, characters: number): string {
  let out = ''
  let rest = value
  for (let i = 0; i < characters; i++) {
    out = (ALPHABET[rest % 32] as string) + out
    rest = Math.floor(rest / 32)
  }
  return out
}

/** @param node at least 5 unpredictable bytes, drawn once a process */
export function requestIds(node: Uint8Array): (now: Millis) => string {
  let nodeNumber = 0
  for (let i = 0; i < 5; i++) nodeNumber = nodeNumber * 256 + (node[i] ?? 0)
  const nodeText = encode(nodeNumber, 8)
  let lastMillis = -1
  let timeText = ''
  let high = 0
  let highText = encode(0, 5)
  let low = 0
  return (now) => {
    if (now !== lastMillis) {
      lastMillis = now
      timeText = encode(now, 10)
    }
    if (++low === 32768) {
      low = 0
      highText = encode(++high, 5)
    }
    return (
      timeText +
      nodeText +
      highText +
      (ALPHABET[low >> 10] as string) +
      (ALPHABET[(low >> 5) & 31] as string) +
      (ALPHABET[low & 31] as string)
    )
  }
}

/** `is_timed_hmac_valid_v0`: message, separator, ten-digit timestamp, "-", Base64 of the MAC. */
import { toUint8Array } from './bytes.ts'
import { decodeBase64 } from './encodings.ts'
import { percentDecode } from './pairs.ts'
import { hmacSha256 } from './sha256.ts'

const TIMESTAMP_LENGTH = 10
/** Base64 of 32 bytes without padding. */
const URL_SAFE_LENGTH = 43
const TIMESTAMP = /^[0-9]{10}$/

/**
 * @param ttl seconds that a message is valid after its timestamp
 * @param now seconds since 1970
 */
export function isTimedHmacValid(
  key: Uint8Array,
  messageMac: string,
  ttl: number,
  now: number,
  separatorLength: number,
  isUrlSafe: boolean,
): boolean {
  // The URL-safe alphabet holds "-" itself, so there the length decides.
  const dash = isUrlSafe ? messageMac.length - URL_SAFE_LENGTH - 1 : messageMac.lastIndexOf('-')
  const messageLength = dash - TIMESTAMP_LENGTH - separatorLength
  if (messageLength < 1 || messageMac[dash] !== '-') return false
  const timestamp = messageMac.slice(dash - TIMESTAMP_LENGTH, dash)
  if (!TIMESTAMP.test(timestamp) || Number(timestamp) + ttl < now) return false
  const encoded = messageMac.slice(dash + 1)
  const mac = decodeBase64(isUrlSafe ? encoded : percentDecode(encoded))
  if (mac?.length !== 32) return false
  const expected = hmacSha256(key, toUint8Array(messageMac.slice(0, messageLength) + timestamp))
  let difference = 0
  for (let i = 0; i < 32; i++) difference |= (expected[i] as number) ^ mac.charCodeAt(i)
  return difference === 0
}

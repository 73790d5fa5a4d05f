/**
 * URLs for Cloudflare's `is_timed_hmac_valid_v0`: `/path?verify=<time>-<MAC>`, HMAC-SHA256 over path and
 * time, the MAC in Base64 with percent escapes or in base64url. The function itself is in the rules language.
 */
import { isTimedHmacValid } from '../../expression/timed-hmac.ts'
import { parameters, withoutParameters } from '../credentials.ts'
import { utf8 } from '../encoding.ts'
import type { SchemeOptions, SignedUrls, UrlVerdict } from './index.ts'

/** Base64url of 32 bytes has no padding and this length; the padded alphabet is longer. */
const URL_SAFE_MAC = /-[A-Za-z0-9_-]{43}$/

export function cloudflare({ keys, lifetime, parameter }: SchemeOptions): SignedUrls {
  const name = parameter ?? 'verify'
  return {
    check({ target }, now): UrlVerdict {
      const [value, ...more] = parameters(target.query, name)
      if (value === undefined) return 'absent'
      const time = /^([0-9]{10})-/.exec(value)
      if (more.length > 0 || time === null) return 'url_signature_invalid'
      const text = `${target.path}?${name}=${value}`
      const isUrlSafe = URL_SAFE_MAC.test(value)
      const issuedAt = Number(time[1])
      for (const { id, secret } of keys) {
        // Checked at its own time first: a good but old link is told from a forged one.
        if (!isTimedHmacValid(utf8(secret), text, lifetime, issuedAt, name.length + 2, isUrlSafe)) {
          continue
        }
        const expiresAt = issuedAt + lifetime
        if (now > expiresAt) return 'signature_expired'
        return {
          keyId: id,
          path: target.path,
          query: withoutParameters(target.query, [name]),
          expiresAt,
        }
      }
      return 'url_signature_invalid'
    },
  }
}

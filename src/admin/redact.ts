/**
 * The configuration as it may be shown. Secrets are references already; what is left are credentials that
 * somebody wrote where they do not belong: in a URL, in a header value.
 */
import { MASKED, type Mask } from '../telemetry/mask.ts'

function isSecretReference(value: object): boolean {
  const keys = Object.keys(value)
  return keys.length === 1 && (keys[0] === 'env' || keys[0] === 'file')
}

/** A copy of `value` without credentials; references to secrets stay, they say only where one is. */
export function redacted(value: unknown, mask: Mask): unknown {
  if (typeof value === 'string') return value.includes('//') ? mask.url(value) : mask.text(value)
  if (Array.isArray(value)) return value.map((item) => redacted(item, mask))
  if (typeof value !== 'object' || value === null) return value
  if (isSecretReference(value)) return value
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const hides =
      typeof item === 'string' && (mask.hidesKey(key) || mask.hidesHeader(key.toLowerCase()))
    copy[key] = hides ? MASKED : redacted(item, mask)
  }
  return copy
}

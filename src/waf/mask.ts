/**
 * What of a match may be shown: enough to understand the verdict, never a secret. Verdicts go to logs,
 * metrics and `explain`.
 */

const MAX_SHOWN = 80
const SECRET_NAME =
  /authori[sz]ation|cookie|passw|passwd|pwd|secret|token|api[-_]?key|session|credential|signature|csrf|\bjwt\b/i
/** Card numbers, and anything that long and numeric. */
const LONG_NUMBER = /\b\d(?:[ -]?\d){12,18}\b/g
/** A JSON Web Token or a long opaque token. */
const OPAQUE = /\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{40,}\b/g
/** `password=...` inside a larger text. */
const NAMED_SECRET =
  /((?:passw(?:or)?d|pwd|secret|token|api[-_]?key)["']?\s*[=:]\s*["']?)[^\s&"';,]+/gi

/**
 * @param target where the text stood, such as `ARGS:q`
 * @param bytes what matched, a byte string
 */
export function maskedMatch(target: string, bytes: string): string {
  if (SECRET_NAME.test(target)) return bytes === '' ? '' : `(${bytes.length} bytes, masked)`
  const text = bytes
    .slice(0, MAX_SHOWN * 4)
    .replace(NAMED_SECRET, '$1***')
    .replace(OPAQUE, '***')
    .replace(LONG_NUMBER, '***')
  const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text
  return shown.replace(
    /[^\x20-\x7e]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

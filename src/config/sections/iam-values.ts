/** Values that the sections about identity share. */
import * as v from 'valibot'

export const httpsUrl = v.pipe(
  v.string(),
  v.regex(/^https:\/\/[A-Za-z0-9.-]+(:[0-9]{1,5})?(\/[\x21-\x7e]*)?$/, 'an https URL is expected'),
  v.maxLength(2048),
)
/** Plain http is for development: only to this machine. */
export const keyUrl = v.union(
  [
    httpsUrl,
    v.pipe(
      v.string(),
      v.regex(/^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(\/[\x21-\x7e]*)?$/),
    ),
  ],
  'an https URL is expected (http only to localhost)',
)
export const claimPath = v.pipe(v.string(), v.minLength(1), v.maxLength(256))
export const scopeToken = v.pipe(
  v.string(),
  v.regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/, 'a scope has no spaces, quotes or backslashes'),
)

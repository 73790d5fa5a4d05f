/** Orders about revoked tokens, as control paths take them. */
import * as v from 'valibot'

const RevocationKinds = v.picklist(['jti', 'sub', 'sid', 'client', 'token', 'issuer'])
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2048))
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0))

export const RevocationOrder = v.strictObject({
  kind: RevocationKinds,
  value: text,
  issuer: v.optional(text),
  before: v.optional(seconds),
  expiresAt: seconds,
})
export const RestoreOrder = v.strictObject({ kind: RevocationKinds, value: text })

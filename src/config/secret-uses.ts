/** Where a config names secrets. */
import type * as v from 'valibot'
import type { SecretUse } from './secrets.ts'
import { type SecretRef, secret } from './values.ts'
import { isBuiltOn, viewOf, walk } from './walk.ts'

/** All secret references in a config as written, found by its schema. */
export function secretsIn(schema: v.GenericSchema, value: unknown): SecretUse[] {
  const uses: SecretUse[] = []
  const target = viewOf(secret)
  walk(viewOf(schema), value, (here, at, path) => {
    if (isBuiltOn(here, target) && at !== undefined && at !== null) {
      // The value is valid by `secret` here: a config with other findings never gets this far.
      if (here.wrapped === undefined) uses.push({ ref: at as SecretRef, path })
    }
  })
  return uses
}

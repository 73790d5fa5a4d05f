/** Every field of the language by name: the one table that the checker, the compiler and the docs read. */
import type { Field } from './field.ts'
import { clientFields } from './fields/client.ts'
import { meridianFields } from './fields/meridian.ts'
import { messageFields } from './fields/message.ts'
import { requestFields } from './fields/request.ts'
import { unfilledFields } from './fields/unfilled.ts'

export const FIELDS: ReadonlyMap<string, Field> = new Map(
  [...requestFields, ...messageFields, ...clientFields, ...meridianFields, ...unfilledFields].map(
    (field) => [field.name, field],
  ),
)

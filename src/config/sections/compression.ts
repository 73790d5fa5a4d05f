/** Content codings that the gateway adds to what a route answers (`routes[].compression`). */
import * as v from 'valibot'
import { size } from '../values.ts'

const mediaType = v.pipe(
  v.string(),
  v.regex(
    /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+*-]+$/,
    'a lower-case media type is expected: "text/html", "text/*" or "application/*+json"',
  ),
)

export const CompressionSection = v.strictObject({
  codings: v.pipe(
    v.optional(
      v.pipe(
        v.array(v.picklist(['br', 'gzip', 'zstd'])),
        v.minLength(1, 'at least one coding is expected'),
      ),
      () => ['br' as const, 'zstd' as const, 'gzip' as const],
    ),
    v.description(
      'Content codings, the preferred first. What the runtime cannot make is passed over (zstd before Node 22.15).',
    ),
  ),
  types: v.pipe(
    v.optional(v.array(mediaType), () => [
      'text/html',
      'text/css',
      'text/plain',
      'text/xml',
      'text/csv',
      'text/markdown',
      'text/javascript',
      'application/javascript',
      'application/json',
      'application/*+json',
      'application/xml',
      'application/*+xml',
      'application/wasm',
      'image/svg+xml',
    ]),
    v.description(
      'Media types; `*` stands for any characters of the subtype. Event streams and gRPC are never encoded.',
    ),
  ),
  minBytes: v.pipe(v.optional(size, '1KiB'), v.description('Shorter bodies stay as they are.')),
  level: v.pipe(
    v.optional(
      v.pipe(v.number(), v.integer('a whole number is expected'), v.minValue(1), v.maxValue(9)),
      4,
    ),
    v.description('Effort, 1 to 9, the same number for each coding.'),
  ),
  credentials: v.pipe(
    v.optional(v.boolean(), false),
    v.description(
      'Whether answers that are not from the cache are encoded too for requests with Cookie or Authorization, or with Set-Cookie: their length may then give secrets away (BREACH).',
    ),
  ),
})
export type CompressionConfig = v.InferOutput<typeof CompressionSection>

/** Mirror traffic (`routes[].mirror`). */
import * as v from 'valibot'
import { duration, identifier, percent, positiveInteger } from '../values.ts'

export const MirrorSection = v.strictObject({
  pool: v.pipe(
    identifier,
    v.description('The pool that gets the repetitions. Residency rules hold for it as well.'),
  ),
  percent: v.pipe(
    v.optional(percent, 100),
    v.description('Share of clients whose requests are repeated, per cent.'),
  ),
  methods: v.pipe(
    v.optional(
      v.pipe(
        v.array(
          v.pipe(
            v.string(),
            v.regex(/^[A-Z][A-Z-]{0,31}$/, 'an upper-case method is expected, such as "GET"'),
          ),
        ),
        v.minLength(1, 'at least one method is expected'),
      ),
      () => ['GET', 'HEAD', 'OPTIONS', 'QUERY'],
    ),
    v.description(
      'Methods that are repeated. Others than the safe ones change the mirror’s data; bodies up to 64 KiB go along.',
    ),
  ),
  credentials: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Whether cookies, authorization and API keys go along.'),
  ),
  concurrency: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(10_000)), 32),
    v.description('Most repetitions under way; above it they are left out.'),
  ),
  timeout: v.pipe(
    v.optional(duration, '10s'),
    v.description('Longest time for a repetition, body included.'),
  ),
})
export type MirrorConfig = v.InferOutput<typeof MirrorSection>

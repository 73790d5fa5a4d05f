/** Health of origins: active checks (`pools.*.health`) and ejection by live traffic (`pools.*.outlier`). */
import * as v from 'valibot'
import { duration, percent, positiveInteger, size } from '../values.ts'

const statusRange = v.pipe(
  v.string(),
  v.regex(
    /^[1-5][0-9]{2}(-[1-5][0-9]{2})?$/,
    'a status or a range of statuses is expected, such as "200" or "200-299"',
  ),
  v.transform((text) => {
    const [first, last] = text.split('-').map(Number) as [number, number?]
    return { first, last: last ?? first }
  }),
)

export const HealthSection = v.strictObject({
  type: v.pipe(
    v.optional(v.picklist(['http', 'tcp']), 'http'),
    v.description('Ask for a page, over TLS if the origin speaks it, or only connect.'),
  ),
  path: v.pipe(
    v.optional(
      v.pipe(v.string(), v.regex(/^\/[\x21-\x7e]*$/, 'a path begins with "/" and has no spaces')),
      '/',
    ),
    v.description('Path to ask for.'),
  ),
  method: v.pipe(v.optional(v.picklist(['GET', 'HEAD']), 'GET'), v.description('Method.')),
  host: v.pipe(
    v.optional(v.string()),
    v.description('Host header of the check. Default: the origin’s.'),
  ),
  expect: v.pipe(
    v.optional(v.pipe(v.array(statusRange), v.minLength(1)), ['200-299']),
    v.description('Statuses that mean healthy. Redirects are not followed.'),
  ),
  body: v.pipe(
    v.optional(v.pipe(v.string(), v.minLength(1))),
    v.description('Text that the response must contain.'),
  ),
  bodyLimit: v.pipe(
    v.optional(size, '8KiB'),
    v.description('How much of the response is searched for `body`.'),
  ),
  interval: v.pipe(
    v.optional(duration, '5s'),
    v.description('Time between two checks of an origin, 10 % more or less.'),
  ),
  fastInterval: v.pipe(
    v.optional(duration, '1s'),
    v.description('Time between checks while the state is about to change.'),
  ),
  timeout: v.pipe(v.optional(duration, '2s'), v.description('A check without answer has failed.')),
  rise: v.pipe(
    v.optional(positiveInteger, 2),
    v.description('Successes in a row that make an origin healthy; the first check counts alone.'),
  ),
  fall: v.pipe(
    v.optional(positiveInteger, 2),
    v.description('Failures in a row that make an origin unhealthy.'),
  ),
})
export type HealthConfig = v.InferOutput<typeof HealthSection>

export const OutlierSection = v.strictObject({
  consecutiveConnect: v.pipe(
    v.optional(positiveInteger, 2),
    v.description('Failed connections in a row that eject an origin.'),
  ),
  consecutive: v.pipe(
    v.optional(positiveInteger, 5),
    v.description(
      'Broken, late, cut or gateway-error (502, 503, 504) answers in a row that eject an origin.',
    ),
  ),
  failureShare: v.pipe(
    v.optional(percent, 50),
    v.description('Share of failures within `window` that ejects an origin, per cent; 100 is off.'),
  ),
  minRequests: v.pipe(
    v.optional(positiveInteger, 20),
    v.description('Fewest requests within `window` for `failureShare` to count.'),
  ),
  window: v.pipe(
    v.optional(duration, '10s'),
    v.description('Time over which `failureShare` is counted.'),
  ),
  baseEjection: v.pipe(
    v.optional(duration, '5s'),
    v.description('First ejection; it doubles with each further one.'),
  ),
  maxEjection: v.pipe(v.optional(duration, '5m'), v.description('Longest ejection.')),
  maxEjected: v.pipe(
    v.optional(percent, 50),
    v.description('Largest share of a pool that may be ejected, per cent; never its last origin.'),
  ),
  halfOpen: v.pipe(
    v.optional(positiveInteger, 3),
    v.description('Successes in a row after an ejection that make the origin whole again.'),
  ),
})
export type OutlierConfig = v.InferOutput<typeof OutlierSection>

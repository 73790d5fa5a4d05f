/** The `regions` section: where the pools stand, and what of the world's traffic each may take. */
import * as v from 'valibot'
import { identifier, percent, positiveInteger } from '../values.ts'
import { latitude, longitude } from './geo.ts'

const tag = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, 'a tag has 1 to 32 letters, digits, "-" or "_"'),
)

export const RegionSection = v.pipe(
  v.strictObject({
    id: v.pipe(
      identifier,
      v.description(
        'Name of the region. A cloud’s own id, such as `eu-central-1`, brings its coordinates and tags.',
      ),
    ),
    cloud: v.pipe(
      v.optional(v.string()),
      v.description(
        'The cloud region it stands in, when the id does not say it or two clouds use the id: `aws:eu-west-1`, `alibaba:eu-west-1`.',
      ),
    ),
    latitude: v.pipe(v.optional(latitude), v.description('Degrees, north positive.')),
    longitude: v.pipe(v.optional(longitude), v.description('Degrees, east positive.')),
    tags: v.pipe(
      v.optional(v.array(tag)),
      v.description(
        'What residency rules may ask for, e.g. `EU`. Default for a cloud region: its country code, and `EU` or `UK`.',
      ),
    ),
    pools: v.pipe(
      v.array(identifier),
      v.minLength(1, 'a region has at least one pool'),
      v.description('Pools of origins in this region, in order of preference.'),
    ),
    bias: v.pipe(
      v.optional(v.pipe(v.number(), v.minValue(-99), v.maxValue(99)), 0),
      v.description(
        'Draws traffic from farther away (positive) or lets go of it (negative), per cent: 50 halves every distance, -50 doubles it.',
      ),
    ),
    dial: v.pipe(
      v.optional(percent, 100),
      v.description(
        'Share of the traffic that would come here which is let in, per cent; the rest goes to the next region. Ignored when no other region is up.',
      ),
    ),
    drain: v.pipe(
      v.optional(v.boolean(), false),
      v.description('Take no new clients; sticky ones may finish.'),
    ),
    capacity: v.pipe(
      v.optional(
        v.strictObject({
          requestsPerSecond: v.pipe(
            v.optional(positiveInteger),
            v.description('Above this rate the excess goes to the next region.'),
          ),
          inflight: v.pipe(
            v.optional(positiveInteger),
            v.description('Above this many requests under way the excess goes to the next region.'),
          ),
        }),
      ),
      v.description('What the region can take, counted by this gateway.'),
    ),
    spillBelow: v.pipe(
      v.optional(percent, 0),
      v.description(
        'When less than this share of the region’s origins is up, per cent, the part that is missing of its clients goes to the next region; 0 is off, 71 is what Envoy does.',
      ),
    ),
    egressPrice: v.pipe(
      v.optional(v.pipe(v.number(), v.minValue(0)), 0),
      v.description(
        'Price of traffic out of the region, for each GB in any currency; the cheapest is taken among regions within `steering.sensitivity`.',
      ),
    ),
    requestPrice: v.pipe(
      v.optional(v.pipe(v.number(), v.minValue(0)), 0),
      v.description(
        'Price of a million requests to the region, in the same currency; counted, not steered by.',
      ),
    ),
    hostname: v.pipe(
      v.optional(
        v.pipe(
          v.string(),
          v.regex(
            /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$/,
            'a lower-case host is expected, such as "eu.example.com"',
          ),
        ),
      ),
      v.description('Public name of the region, for steering by redirect.'),
    ),
  }),
  v.check(
    (region) => (region.latitude === undefined) === (region.longitude === undefined),
    'latitude and longitude are given together or not at all',
  ),
)
export type RegionConfig = v.InferOutput<typeof RegionSection>

/** Most regions of one config: two 32-bit masks. */
export const MOST_REGIONS = 64

export const RegionsSection = v.pipe(
  v.array(RegionSection),
  v.maxLength(MOST_REGIONS, `at most ${MOST_REGIONS} regions are possible`),
  v.description('Places where pools of origins stand. The order breaks ties.'),
)
export type RegionsConfig = v.InferOutput<typeof RegionsSection>

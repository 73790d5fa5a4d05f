/** Steering: how a region is chosen, for all routes (`steering`) or one (`routes[].steering`). */
import * as v from 'valibot'
import { countryCode, duration, expression, identifier, secret } from '../values.ts'

const regionList = v.pipe(v.array(identifier), v.minLength(1, 'at least one region is expected'))

/** What a rule may set, too. */
const policyEntries = {
  policy: v.pipe(
    v.optional(v.picklist(['proximity', 'latency', 'weighted', 'failover', 'geo']), 'proximity'),
    v.description(
      'The nearest region; the one that measured connection times make nearest; a share of clients each; the first that is up; or lists by country and continent.',
    ),
  ),
  reference: v.pipe(
    v.optional(v.picklist(['client', 'gateway']), 'client'),
    v.description(
      'Nearest to the client, or to this gateway (`geo.gateway`): a proxied request travels from here.',
    ),
  ),
  regions: v.pipe(
    v.optional(regionList),
    v.description('Regions to choose among. Default: those of the route.'),
  ),
  order: v.pipe(
    v.optional(regionList),
    v.description('For `failover`: the regions in order. Default: the order of the config.'),
  ),
  weights: v.pipe(
    v.optional(v.record(identifier, v.pipe(v.number(), v.minValue(0), v.maxValue(1_000_000)))),
    v.description('For `weighted`: a weight for each region; left out or 0, it gets no clients.'),
  ),
  lists: v.pipe(
    v.optional(
      v.strictObject({
        countries: v.pipe(
          v.optional(v.record(countryCode, regionList), {}),
          v.description('Regions in order, by country code.'),
        ),
        europeanUnion: v.pipe(
          v.optional(regionList),
          v.description('For clients in the European Union whose country has no list.'),
        ),
        continents: v.pipe(
          v.optional(
            v.record(v.picklist(['AF', 'AN', 'AS', 'EU', 'NA', 'OC', 'SA']), regionList),
            {},
          ),
          v.description('Regions in order, by continent.'),
        ),
        default: v.pipe(
          v.optional(regionList),
          v.description('For everybody else, and for clients whose place is unknown.'),
        ),
      }),
    ),
    v.description('For `geo`: lists of regions; the most exact one that fits is used.'),
  ),
  sensitivity: v.pipe(
    v.optional(duration, '0ms'),
    v.description(
      'Regions at most this much slower than the best, estimated, count as equal: the cheapest of them is taken.',
    ),
  ),
  fallback: v.pipe(
    v.optional(v.array(identifier), []),
    v.description(
      'Regions to use, in order, when none of the others is up. Residency rules hold for them as well.',
    ),
  ),
} as const

const StickySection = v.strictObject({
  mode: v.pipe(
    v.optional(v.picklist(['temporary', 'sticky']), 'temporary'),
    v.description(
      'When the client’s region is down, use another for as long as that lasts, or move the client there for good.',
    ),
  ),
  cookie: v.pipe(
    v.optional(
      v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/, 'a cookie name is expected')),
      'meridian_region',
    ),
    v.description('Name of the cookie.'),
  ),
  ttl: v.pipe(v.optional(duration, '12h'), v.description('Lifetime of the cookie.')),
  secret: v.pipe(
    v.union([secret, v.pipe(v.array(secret), v.minLength(1))]),
    v.description(
      'Key that signs the cookie, at least 16 characters; of several the first signs and all are accepted.',
    ),
  ),
})
export type StickyConfig = v.InferOutput<typeof StickySection>

const SteeringRule = v.strictObject({
  id: v.pipe(v.optional(identifier), v.description('Name of the rule in records.')),
  when: expression,
  ...policyEntries,
})
export type SteeringRuleConfig = v.InferOutput<typeof SteeringRule>

export const SteeringSection = v.strictObject({
  ...policyEntries,
  action: v.pipe(
    v.optional(v.picklist(['proxy', 'redirect']), 'proxy'),
    v.description(
      'Pass requests on to the region, or send the client there: 307 to the region’s `hostname`. A client that came by such a name, or whose region has none, is passed on.',
    ),
  ),
  sticky: v.pipe(
    v.optional(StickySection),
    v.description('Keep a client in the region it was sent to first, by a signed cookie.'),
  ),
  rules: v.pipe(
    v.optional(v.array(SteeringRule), []),
    v.description(
      'Other choices for some requests: the first rule whose expression holds is used in place of the above.',
    ),
  ),
})
export type SteeringConfig = v.InferOutput<typeof SteeringSection>
export type SteeringPolicyConfig = Omit<SteeringConfig, 'sticky' | 'rules' | 'action'>

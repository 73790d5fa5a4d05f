/**
 * Routes: which requests go where, and what is done to them on the way (`routes`). The first route
 * that matches takes the request.
 */
import * as v from 'valibot'
import { duration, expression, identifier, percent, positiveInteger, size } from '../values.ts'
import { RouteCacheSection } from './cache.ts'
import { CompressionSection } from './compression.ts'
import { RouteAuthSection } from './iam.ts'
import { MirrorSection } from './mirror.ts'
import { RolloutSection } from './rollout.ts'
import { SteeringSection } from './steering.ts'
import { RouteWafSection } from './waf.ts'

function oneOrMany<const T extends v.GenericSchema<string>>(item: T, what: string) {
  return v.union([item, v.pipe(v.array(item), v.minLength(1, `at least one ${what} is expected`))])
}

const hostPattern = v.pipe(
  v.string(),
  v.regex(
    /^(\*|(\*\.)?[a-z0-9._-]+|\[[0-9a-f:.]+\])$/,
    'a lower-case host without port is expected: "example.com", "*.example.com" or "*"',
  ),
  v.maxLength(255),
)

const pathPattern = v.pipe(
  v.string(),
  v.regex(
    /^[/*][\x21-\x7e]*$/,
    'a path begins with "/" and has no spaces: "/api" (and all below it), or with a wildcard "/img/*.png"',
  ),
  v.maxLength(2048),
)

const methodName = v.pipe(
  v.string(),
  v.regex(/^[A-Z][A-Z-]{0,31}$/, 'an upper-case method is expected, such as "GET"'),
)

const headerName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, 'a header name is expected (RFC 9110 §5.1)'),
)

const headerText = v.pipe(
  v.string(),
  v.maxLength(4096),
  v.regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'a header value has no line breaks or control characters'),
)

const computed = v.strictObject({ expression })
const headerValue = v.pipe(
  v.union([headerText, computed], 'a text or {"expression": "…"} is expected'),
  v.description('A text, or an expression that gives one.'),
)

const MatchObject = v.strictObject({
  host: v.pipe(
    v.optional(oneOrMany(hostPattern, 'host')),
    v.description('Hosts: exact, `*.example.com` for every name below, or `*`.'),
  ),
  path: v.pipe(
    v.optional(oneOrMany(pathPattern, 'path')),
    v.description(
      'Paths: `/api` takes `/api` and everything below `/api/`; with `*` (any characters) the whole path must fit.',
    ),
  ),
  methods: v.pipe(
    v.optional(v.pipe(v.array(methodName), v.minLength(1, 'at least one method is expected'))),
    v.description('Methods. Left out: all.'),
  ),
})

const HeaderChanges = v.strictObject({
  set: v.pipe(
    v.optional(v.record(headerName, headerValue), {}),
    v.description('Fields to set, replacing what is there.'),
  ),
  add: v.pipe(
    v.optional(v.record(headerName, headerValue), {}),
    v.description('Fields to add next to what is there.'),
  ),
  remove: v.pipe(
    v.optional(v.array(headerName), []),
    v.description('Fields to remove, first of all.'),
  ),
})

const Transforms = v.strictObject({
  request: v.pipe(
    v.optional(HeaderChanges),
    v.description('Header changes on the way to the origin.'),
  ),
  response: v.pipe(
    v.optional(HeaderChanges),
    v.description('Header changes on the way to the client.'),
  ),
  stripPrefix: v.pipe(
    v.optional(
      v.pipe(
        v.string(),
        v.regex(/^(\/[\x21-\x7e]*[^/\s])$/, 'a prefix begins with "/" and does not end with one'),
      ),
    ),
    v.description('Path prefix to take off before the origin sees the path.'),
  ),
  rewrite: v.pipe(
    v.optional(
      v.strictObject({
        path: v.pipe(
          v.optional(expression),
          v.description(
            'Expression that gives the new path, e.g. `concat("/v2", http.request.uri.path)`.',
          ),
        ),
        query: v.pipe(
          v.optional(expression),
          v.description('Expression that gives the new query, without `?`.'),
        ),
      }),
    ),
    v.description('New path and query for the origin, after `stripPrefix`.'),
  ),
})

const RETRY_STATUSES = [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524] as const

const Retry = v.strictObject({
  tries: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(10)), 3),
    v.description('Most attempts, the first one counted; 1 turns retries off. 1 to 10.'),
  ),
  budget: v.pipe(
    v.optional(percent, 20),
    v.description(
      'Most retries as a share of the requests of the last seconds, per cent, so that retries cannot bury an origin in trouble.',
    ),
  ),
  deadline: v.pipe(
    v.optional(duration, '30s'),
    v.description(
      'For all attempts together, until the response header. A trusted proxy may shorten it by `x-request-timeout-ms`.',
    ),
  ),
  perTry: v.pipe(
    v.optional(duration),
    v.description(
      'For one attempt, connecting included, until the response header. Left out: `connect` and `firstByte` alone.',
    ),
  ),
  adaptive: v.pipe(
    v.optional(v.boolean(), false),
    v.description(
      'Let all attempts but the last wait no longer than three times the pool’s 99th percentile (300 ms at least) for a request that may be sent twice.',
    ),
  ),
  announceDeadline: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Tell origins how much time is left: `x-request-timeout-ms`.'),
  ),
  regions: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(10)), 2),
    v.description(
      'Most regions of one request, the first one counted, so that a request that fails everywhere does not travel the world. Pools that stand in no region count as one each.',
    ),
  ),
  statuses: v.pipe(
    v.optional(
      v.array(
        v.picklist(
          RETRY_STATUSES,
          `a status that can be retried is expected: ${RETRY_STATUSES.join(', ')}`,
        ),
      ),
      () => [502, 503, 504],
    ),
    v.description('Response statuses that are tried again elsewhere.'),
  ),
  methods: v.pipe(
    v.optional(v.array(methodName), () => ['GET', 'HEAD', 'OPTIONS', 'QUERY', 'PUT', 'DELETE']),
    v.description(
      'Methods that may be sent twice. Others are retried only when nothing of them reached an origin.',
    ),
  ),
  idempotencyKey: v.pipe(
    v.optional(v.boolean(), false),
    v.description(
      'Whether a request with `Idempotency-Key` may be sent twice whatever its method: only if the origins know the key.',
    ),
  ),
  bodyLimit: v.pipe(
    v.optional(size, '64KiB'),
    v.description('Request bodies up to this size are kept for another attempt.'),
  ),
  hold: v.pipe(
    v.optional(duration, '0s'),
    v.description(
      'How long a request that may be sent twice waits while no origin can be reached, for one to come up; 0 is off. At most 256 wait.',
    ),
  ),
  hedge: v.pipe(
    v.optional(
      v.strictObject({
        after: v.pipe(
          v.optional(duration),
          v.description('Left out: the pool’s 95th percentile, once it is known.'),
        ),
        percent: v.pipe(
          v.optional(percent, 5),
          v.description('Most second requests, as a share of all that could have one, per cent.'),
        ),
      }),
    ),
    v.description(
      'Send a GET or HEAD that takes long to a second origin too, and take the first answer. Never while less than half of the pool is up.',
    ),
  ),
})

const RouteTimeouts = v.strictObject({
  connect: v.pipe(v.optional(duration), v.description('Instead of the pool’s `connect`.')),
  firstByte: v.pipe(v.optional(duration), v.description('Instead of the pool’s `firstByte`.')),
  idle: v.pipe(v.optional(duration), v.description('Instead of the pool’s `idle`.')),
})

const Redirect = v.strictObject({
  to: v.pipe(
    v.union(
      [
        v.pipe(
          v.string(),
          v.regex(
            /^(\/(?![/\\])|https?:\/\/[A-Za-z0-9])[\x21-\x7e]*$/,
            'a redirect goes to a path ("/new") or an http(s) URL',
          ),
        ),
        computed,
      ],
      'a path, an http(s) URL or {"expression": "…"} is expected',
    ),
    v.description('Where to: a path, a URL, or an expression that gives one.'),
  ),
  status: v.pipe(
    v.optional(v.picklist([301, 302, 303, 307, 308]), 302),
    v.description('Status of the redirect.'),
  ),
  keepQuery: v.pipe(v.optional(v.boolean(), true), v.description('Append the request’s query.')),
})

const Respond = v.strictObject({
  status: v.pipe(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(200), v.maxValue(599)), 200),
    v.description('Status, 200 to 599.'),
  ),
  body: v.pipe(
    v.optional(v.pipe(v.string(), v.maxLength(65_536)), ''),
    v.description('Body, as text.'),
  ),
  contentType: v.pipe(
    v.optional(headerText, 'text/plain; charset=utf-8'),
    v.description('Content-Type of the body.'),
  ),
  headers: v.pipe(
    v.optional(v.record(headerName, headerText), {}),
    v.description('More header fields.'),
  ),
})

const Route = v.strictObject({
  id: v.pipe(
    v.optional(identifier),
    v.description(
      'Name in logs, metrics and `explain`. Left out: `route-1`, `route-2`, … by position.',
    ),
  ),
  match: v.pipe(
    v.optional(
      v.union([expression, MatchObject], 'an expression, or {host, path, methods}, is expected'),
      {},
    ),
    v.description('Which requests: an expression, or hosts, paths and methods. Left out: all.'),
  ),
  pools: v.pipe(
    v.optional(v.array(identifier)),
    v.description('Pools in order of preference: the next one takes over when one is down.'),
  ),
  regions: v.pipe(
    v.optional(v.array(identifier)),
    v.description('Regions to choose among. Left out, and without `pools`: all regions.'),
  ),
  steering: v.pipe(
    v.optional(SteeringSection),
    v.description('How a region is chosen, instead of the general `steering`.'),
  ),
  residency: v.pipe(
    v.optional(identifier),
    v.description(
      'Residency rule that narrows the regions before everything else, and fails closed.',
    ),
  ),
  retry: v.pipe(v.optional(Retry, {}), v.description('Another try at another origin or region.')),
  rollout: v.pipe(
    v.optional(RolloutSection),
    v.description('Move clients from one pool to another in steps, and back when it is worse.'),
  ),
  mirror: v.pipe(
    v.optional(MirrorSection),
    v.description('Repeat requests to another pool and compare the answers.'),
  ),
  timeouts: v.pipe(v.optional(RouteTimeouts, {}), v.description('Timeouts towards origins.')),
  bodyLimit: v.pipe(
    v.optional(size),
    v.description('Most bytes of a request body, instead of `listen.limits.body`.'),
  ),
  cache: v.pipe(
    v.optional(
      v.union([v.literal(false), RouteCacheSection], 'false or cache settings are expected'),
      false,
    ),
    v.description('Cache settings of this route, or false: not cached.'),
  ),
  compression: v.pipe(
    v.optional(CompressionSection),
    v.description(
      'Content codings that the gateway adds (Node). Left out: bodies stay as they came.',
    ),
  ),
  auth: v.pipe(v.optional(RouteAuthSection), v.description('Who may use this route.')),
  limits: v.pipe(
    v.optional(v.array(identifier), []),
    v.description('Limit rules, by id, that count requests of this route.'),
  ),
  waf: v.pipe(
    v.optional(v.union([v.literal(false), RouteWafSection], 'false or WAF overrides are expected')),
    v.description('WAF overrides of this route, or false: not inspected.'),
  ),
  transforms: v.pipe(v.optional(Transforms), v.description('Changes to headers and target.')),
  redirect: v.pipe(v.optional(Redirect), v.description('Answer with a redirect.')),
  respond: v.pipe(v.optional(Respond), v.description('Answer with a fixed response.')),
})

/** `routes`: in order; the first that matches takes the request. */
export const RoutesSection = v.pipe(
  v.array(Route),
  v.minLength(1, 'at least one route is expected'),
  v.description('Routes, in order: the first that matches takes the request.'),
  v.transform((routes) =>
    routes.map((route, index) => ({ ...route, id: route.id ?? `route-${index + 1}` })),
  ),
)
export type RoutesConfig = v.InferOutput<typeof RoutesSection>
export type RouteConfig = RoutesConfig[number]
export type RouteMatchConfig = RouteConfig['match']
export type RetryConfig = RouteConfig['retry']
export type TransformsConfig = NonNullable<RouteConfig['transforms']>
export type HeaderChangesConfig = NonNullable<TransformsConfig['request']>

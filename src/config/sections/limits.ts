/**
 * How much: rate limits, quotas, concurrency and bandwidth (`limits`), the penalty box, adaptive
 * concurrency and waiting rooms.
 */
import * as v from 'valibot'
import { cidr, duration, expression, identifier, positiveInteger, secret } from '../values.ts'

const KEY_PART =
  'a key part is "ip", "ip/<bits>" (IPv6 prefix 32 to 128), "network", "principal", "issuer", "client", "tenant", "route", "host", "method", "country", "asn", "header:<name>", "cookie:<name>", "query:<name>", "claim:<name>" or {"expression": "…"}'

const keyPart = v.union(
  [
    v.pipe(
      v.string(),
      v.regex(
        /^(ip(\/(3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-8]))?|network|principal|issuer|client|tenant|route|host|method|country|asn|(header|cookie|query|claim):[\x21-\x7e]{1,128})$/,
        KEY_PART,
      ),
    ),
    v.strictObject({ expression }),
  ],
  KEY_PART,
)
export type KeyPartConfig = v.InferOutput<typeof keyPart>

const windowDuration = v.pipe(
  duration,
  v.check(
    (ms) => Number.isInteger(ms) && ms >= 100 && ms <= 366 * 86_400_000,
    'a window is between 100ms and 366d',
  ),
)
const limit = v.pipe(positiveInteger, v.maxValue(1_000_000_000))
const status = v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(599))

const algorithm = v.picklist([
  'gcra',
  'sliding',
  'two-window',
  'exact',
  'fixed',
  'calendar',
  'concurrency',
  'bandwidth',
])

const Policy = v.strictObject({
  id: v.pipe(
    identifier,
    v.description('Name in logs, metrics, route lists and the RateLimit header fields.'),
  ),
  algorithm: v.pipe(
    v.optional(algorithm, 'gcra'),
    v.description(
      'gcra: a rate with a burst. sliding: never more than `limit` in any window. two-window: the common estimate, cheap. exact: a log, limits up to 100. fixed: windows that begin at their edges. calendar: hour, day, week or month in a time zone. concurrency: requests at once. bandwidth: bytes of response bodies.',
    ),
  ),
  limit: v.pipe(
    limit,
    v.description(
      'Units in a window; with `concurrency` requests at once; with `bandwidth` bytes.',
    ),
  ),
  window: v.pipe(
    v.optional(windowDuration),
    v.description('The window, 100ms to 366d. Not with `calendar` and `concurrency`.'),
  ),
  burst: v.pipe(
    v.optional(limit),
    v.description(
      'gcra, bandwidth: units that may come at once. Left out: a tenth of `limit`, at least 1.',
    ),
  ),
  segments: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(60)), 10),
    v.description('sliding: parts of a window, 1 to 60. More give units back sooner.'),
  ),
  period: v.pipe(
    v.optional(v.picklist(['hour', 'day', 'week', 'month'])),
    v.description('calendar: the period.'),
  ),
  timeZone: v.pipe(
    v.optional(v.string(), 'UTC'),
    v.description('calendar: IANA time zone in which periods begin, such as "Europe/Berlin".'),
  ),
  key: v.pipe(
    v.optional(
      v.pipe(v.array(keyPart), v.minLength(1, 'at least one key part is expected'), v.maxLength(8)),
      () => ['ip'],
    ),
    v.description('What is counted apart: the parts together form the key.'),
  ),
  onMissing: v.pipe(
    v.optional(v.picklist(['skip', 'shared', 'deny'])),
    v.description(
      'When a key part is absent: skip the policy, count in one shared bucket, or deny. Left out: deny in phase identity, else skip.',
    ),
  ),
  when: v.pipe(
    v.optional(expression),
    v.description('Only requests for which this is true. Left out: all.'),
  ),
  cost: v.pipe(
    v.optional(v.union([v.pipe(positiveInteger, v.maxValue(1_000_000)), expression]), 1),
    v.description('Units a request costs, 1 to 1,000,000, or an expression that gives them.'),
  ),
  costHeader: v.pipe(
    v.optional(
      v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,64}$/, 'a lower-case field name is expected')),
    ),
    v.description(
      'Response field with the real cost (1 to 1,000,000): `cost` is charged first, the difference afterwards.',
    ),
  ),
  phase: v.pipe(
    v.optional(v.picklist(['address', 'identity', 'origin', 'response']), 'address'),
    v.description(
      'When it counts. address: before identity. identity: after it. origin: only what the cache does not answer. response: by status, see `countStatus`.',
    ),
  ),
  countStatus: v.pipe(
    v.optional(v.pipe(v.array(status), v.minLength(1, 'at least one status is expected'))),
    v.description('phase response: the statuses that are charged. Left out: all.'),
  ),
  refundOnError: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Give the units back when the answer is 500 to 599.'),
  ),
  action: v.pipe(
    v.optional(v.picklist(['block', 'log']), 'block'),
    v.description('block: answer `status`. log: only record what would have happened.'),
  ),
  status: v.pipe(
    v.optional(v.picklist([403, 429, 503]), 429),
    v.description('Status of the answer.'),
  ),
  mitigation: v.pipe(
    v.optional(
      v.pipe(
        duration,
        v.check((ms) => ms >= 1000 && ms <= 366 * 86_400_000, 'between 1s and 366d'),
      ),
    ),
    v.description('After a denial, deny the key for this long whatever its rate.'),
  ),
  scope: v.pipe(
    v.optional(v.picklist(['global', 'route']), 'global'),
    v.description('global: every request. route: only on routes that list it in `limits`.'),
  ),
  headers: v.pipe(
    v.optional(v.boolean(), true),
    v.description('Whether answers carry RateLimit-Policy and RateLimit fields.'),
  ),
  shared: v.pipe(
    v.optional(
      v.strictObject({
        mode: v.pipe(
          v.optional(v.picklist(['lease', 'strict', 'async'])),
          v.description(
            'lease: units are fetched ahead, a few at a time. strict: the server is asked for every request. async: counted behind the answers. Left out: lease with `gcra`, `fixed` and `calendar`, else strict.',
          ),
        ),
        onFailure: v.pipe(
          v.optional(v.picklist(['local', 'open', 'closed']), 'local'),
          v.description(
            'While the server is away. local: this process admits its part of the limit. open: everything. closed: nothing, 503.',
          ),
        ),
        interval: v.pipe(
          v.optional(
            v.pipe(
              duration,
              v.check((ms) => ms >= 10 && ms <= 3_600_000, 'between 10ms and 1h'),
            ),
          ),
          v.description(
            'async: between two exchanges with the server, at most a tenth of the window. Left out: 1s.',
          ),
        ),
      }),
    ),
    v.description(
      'Counted by all gateways together, in the server of section `redis`. Left out: each process counts on its own.',
    ),
  ),
  slots: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(2 ** 24))),
    v.description(
      'Keys held in memory, rounded up to a power of two. Left out: 131072 (2 MiB for gcra), 16384 for exact.',
    ),
  ),
})

/** `limits`: in order; the first that denies is the one reported. */
export const LimitsSection = v.pipe(
  v.array(Policy),
  v.maxLength(256, 'at most 256 limits'),
  v.description(
    'Limits, in order. All that apply to a request are charged together or not at all.',
  ),
)
export type LimitsConfig = v.InferOutput<typeof LimitsSection>
export type LimitConfig = LimitsConfig[number]

const weight = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(10_000))

/** `penaltyBox`: clients that misbehave in several ways are shut out for a while. */
export const PenaltyBoxSection = v.pipe(
  v.strictObject({
    threshold: v.pipe(
      v.optional(v.pipe(positiveInteger, v.maxValue(1_000_000)), 30),
      v.description('Score at which a client is shut out.'),
    ),
    halfLife: v.pipe(
      v.optional(duration, '5m'),
      v.description('Time in which a score decays to its half.'),
    ),
    minimum: v.pipe(v.optional(duration, '1m'), v.description('First time in the box.')),
    maximum: v.pipe(
      v.optional(duration, '1d'),
      v.description('Longest time in the box; each repetition doubles it up to here.'),
    ),
    weights: v.pipe(
      v.optional(
        v.strictObject({
          waf: v.pipe(v.optional(weight, 10), v.description('A request blocked by the WAF.')),
          auth: v.pipe(v.optional(weight, 2), v.description('Credentials that were refused.')),
          notFound: v.pipe(v.optional(weight, 1), v.description('An answer 404.')),
          limit: v.pipe(v.optional(weight, 1), v.description('A request over a limit.')),
          anomaly: v.pipe(
            v.optional(weight, 10),
            v.description(
              'A refused or faulty request of a network that `threats` finds anomalous, with its action `ban`.',
            ),
          ),
          challenge: v.pipe(
            v.optional(weight, 3),
            v.description(
              'An answer to a challenge, or a clearance, that no honest browser sends.',
            ),
          ),
        }),
        {},
      ),
      v.description('What each event adds to the score.'),
    ),
    exempt: v.pipe(
      v.optional(v.array(cidr), []),
      v.description('Networks that are never shut out. Trusted proxies never are.'),
    ),
    slots: v.pipe(
      v.optional(v.pipe(positiveInteger, v.maxValue(2 ** 24)), 65_536),
      v.description('Clients held in memory.'),
    ),
  }),
  v.description('Shuts out clients whose refused requests add up. IPv6 clients count by /64.'),
)
export type PenaltyBoxConfig = v.InferOutput<typeof PenaltyBoxSection>

const priority = v.picklist(['critical', 'default', 'sheddable', 'batch'])

/** `concurrency`: a limit on requests under way towards an origin that finds its own height. */
export const ConcurrencySection = v.pipe(
  v.strictObject({
    mode: v.pipe(
      v.optional(v.picklist(['off', 'observe', 'enforce']), 'observe'),
      v.description('observe: compute and show the limit. enforce: refuse what is above it.'),
    ),
    minimum: v.pipe(v.optional(positiveInteger, 8), v.description('The limit never falls below.')),
    maximum: v.pipe(
      v.optional(positiveInteger, 1000),
      v.description('The limit never rises above.'),
    ),
    initial: v.pipe(v.optional(positiveInteger, 50), v.description('The limit at the start.')),
    tolerance: v.pipe(
      v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(10)), 1.5),
      v.description('How much slower than usual answers may get before the limit falls, 1 to 10.'),
    ),
    priorities: v.pipe(
      v.optional(
        v.pipe(
          v.array(
            v.strictObject({
              when: v.pipe(expression, v.description('Requests of this class.')),
              priority: v.pipe(
                priority,
                v.description(
                  'Share of the limit that they may fill: critical all of it, default 90 %, sheddable 70 %, batch 50 %.',
                ),
              ),
            }),
          ),
          v.maxLength(64, 'at most 64 classes'),
        ),
        [],
      ),
      v.description('Classes of requests, the first that matches; without one `default`.'),
    ),
  }),
  v.description('Adaptive concurrency for each pool: sheds load when its origins slow down.'),
)
export type ConcurrencyConfig = v.InferOutput<typeof ConcurrencySection>

/** `waitingRooms`: a queue with tickets in signed cookies, for flash crowds. */
export const WaitingRoomsSection = v.pipe(
  v.array(
    v.strictObject({
      id: v.pipe(identifier, v.description('Name of the room; part of its cookies.')),
      when: v.pipe(
        v.optional(expression),
        v.description('Requests that pass through the room. Left out: all.'),
      ),
      admitPerSecond: v.pipe(
        v.number(),
        v.minValue(0.01),
        v.maxValue(100_000),
        v.description('New visitors admitted a second.'),
      ),
      session: v.pipe(
        v.optional(duration, '10m'),
        v.description('How long an admitted visitor may stay away.'),
      ),
      opensAt: v.pipe(
        v.optional(v.pipe(v.string(), v.isoTimestamp('an ISO 8601 time with zone is expected'))),
        v.description('Those who come before are admitted in random order.'),
      ),
      closesAt: v.pipe(
        v.optional(v.pipe(v.string(), v.isoTimestamp('an ISO 8601 time with zone is expected'))),
        v.description('From then on nobody waits. Left out: the room stays.'),
      ),
      secret: v.pipe(secret, v.description('Signs tickets; at least 32 bytes.')),
    }),
  ),
  v.description('Waiting rooms, in order; a visitor has to be let in by each that applies.'),
)
export type WaitingRoomsConfig = v.InferOutput<typeof WaitingRoomsSection>

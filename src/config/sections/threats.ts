/** The `threats` section: who attacks, told from what is usual here. */
import * as v from 'valibot'
import { duration, positiveInteger } from '../values.ts'

export const ThreatsSection = v.pipe(
  v.strictObject({
    action: v.pipe(
      v.optional(v.picklist(['log', 'ban']), 'log'),
      v.description(
        'log: say it. ban: hold each refused or faulty request of an anomalous network against its client, in the `penaltyBox`.',
      ),
    ),
    threshold: v.pipe(
      v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(100)), 80),
      v.description('Score from which a network is anomalous on a route, 1 to 100.'),
    ),
    window: v.pipe(
      v.optional(
        v.pipe(
          duration,
          v.check((ms) => ms >= 1000 && ms <= 600_000, 'from "1s" to "10m" is expected'),
        ),
        '10s',
      ),
      v.description('What is judged at a time, 1s to 10m.'),
    ),
    memory: v.pipe(
      v.optional(
        v.pipe(
          duration,
          v.check((ms) => ms >= 60_000, 'at least "1m" is expected'),
        ),
        '30m',
      ),
      v.description('How far back "usual" looks: older traffic counts less and less.'),
    ),
    minimumRequests: v.pipe(
      v.optional(v.pipe(positiveInteger, v.maxValue(100_000)), 20),
      v.description('A network with fewer requests in a window is not judged.'),
    ),
    ipv4Bits: v.pipe(
      v.optional(v.pipe(v.number(), v.integer(), v.minValue(8), v.maxValue(32)), 24),
      v.description('Leading bits of IPv4 addresses that make one network, 8 to 32.'),
    ),
    ipv6Bits: v.pipe(
      v.optional(v.pipe(v.number(), v.integer(), v.minValue(16), v.maxValue(64)), 48),
      v.description('Leading bits of IPv6 addresses that make one network, 16 to 64.'),
    ),
    capacity: v.pipe(
      v.optional(v.pipe(positiveInteger, v.minValue(64), v.maxValue(1_000_000)), 8192),
      v.description(
        'Most pairs of network and route that are watched, 64 to 1000000; those heard of longest ago give way.',
      ),
    ),
  }),
  v.description(
    'Watches client networks for what is unusual on a route, and the networks that are refused most.',
  ),
)
export type ThreatsConfig = v.InferOutput<typeof ThreatsSection>

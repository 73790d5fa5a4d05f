/** Staged rollout from one pool to another (`routes[].rollout`). */
import * as v from 'valibot'
import { duration, identifier, percent, positiveInteger } from '../values.ts'

const Gates = v.strictObject({
  errorPoints: v.pipe(
    v.optional(percent, 0.5),
    v.description(
      'Most that the new pool’s error rate may be above the old one’s, percentage points; only a difference that chance hardly makes counts.',
    ),
  ),
  p95Ratio: v.pipe(
    v.optional(v.pipe(v.number(), v.minValue(1)), 1.3),
    v.description(
      'Most that the new pool’s 95th percentile of the time to the response header may be of the old one’s.',
    ),
  ),
  minSamples: v.pipe(
    v.optional(positiveInteger, 400),
    v.description('Fewest requests to each pool for a comparison.'),
  ),
})

export const RolloutSection = v.pipe(
  v.strictObject({
    from: v.pipe(identifier, v.description('The pool that clients leave.')),
    to: v.pipe(
      identifier,
      v.description('The pool that they go to. The old one stays as a way back for each request.'),
    ),
    steps: v.pipe(
      v.optional(v.pipe(v.array(percent), v.minLength(1, 'at least one step is expected')), () => [
        1, 5, 10, 25, 50, 100,
      ]),
      v.check(
        (steps) => steps.every((step, i) => i === 0 || step > (steps[i - 1] as number)),
        'steps rise',
      ),
      v.description('Shares of clients, per cent, rising. A larger share only adds clients.'),
    ),
    bake: v.pipe(
      v.optional(duration, '5m'),
      v.description('How long each step lasts at least before the next.'),
    ),
    gates: v.pipe(
      v.optional(Gates, {}),
      v.description('When the new pool counts as worse; then everybody goes back at once.'),
    ),
  }),
  v.check((rollout) => rollout.from !== rollout.to, 'a rollout goes to another pool'),
)
export type RolloutConfig = v.InferOutput<typeof RolloutSection>

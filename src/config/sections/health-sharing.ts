/** The `healthSharing` section: what the gateways of a fleet tell each other of origins. */
import * as v from 'valibot'
import { duration } from '../values.ts'

export const HealthSharingSection = v.strictObject({
  enabled: v.pipe(v.optional(v.boolean(), true), v.description('Whether this gateway takes part.')),
  interval: v.pipe(
    v.optional(
      v.pipe(
        duration,
        v.minValue(100, 'at least "100ms" is expected'),
        v.maxValue(600_000, 'at most "10m" is expected'),
      ),
      '5s',
    ),
    v.description(
      'How often everything is told again, besides each change at once; what is older than three of them counts for nothing. The same on all gateways.',
    ),
  ),
})
export type HealthSharingConfig = v.InferOutput<typeof HealthSharingSection>

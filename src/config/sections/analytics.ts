/** The `telemetry.analytics` section: every request kept on disk by the hour, for questions later. */
import * as v from 'valibot'
import { duration, size } from '../values.ts'

export const AnalyticsSection = v.pipe(
  v.strictObject({
    dir: v.pipe(
      v.string(),
      v.minLength(1),
      v.description(
        'Folder of the files, relative to the config file; it is made when it is not there. No two gateways share one.',
      ),
    ),
    retention: v.pipe(
      v.optional(
        v.pipe(
          duration,
          v.check((ms) => ms >= 3_600_000, 'at least an hour is expected, such as "7d"'),
        ),
        '30d',
      ),
      v.description(
        'How long files are kept here, counted from the end of their hour; at least 1h.',
      ),
    ),
    maxSize: v.pipe(
      v.optional(
        v.pipe(
          size,
          v.check((bytes) => bytes >= 1024 ** 2, 'at least "1MiB" is expected'),
        ),
        '10GiB',
      ),
      v.description(
        'Most disk space of finished hours; the oldest files go first, those that are not uploaded yet included.',
      ),
    ),
    compact: v.pipe(
      v.optional(v.boolean(), true),
      v.description('Whether finished hours become Parquet files, about a tenth of the size.'),
    ),
  }),
  v.description('Keeps every request on disk by the hour, for `meridian analytics`.'),
)

export type AnalyticsConfig = v.InferOutput<typeof AnalyticsSection>

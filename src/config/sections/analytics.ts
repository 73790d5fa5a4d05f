/** The `telemetry.analytics` section: every request kept on disk by the hour, for questions later. */
import * as v from 'valibot'
import { duration, secret, size } from '../values.ts'

const Upload = v.pipe(
  v.strictObject({
    endpoint: v.pipe(
      v.string(),
      v.check(isOrigin, 'an http or https URL without a path or user is expected'),
      v.description(
        'Where the store is, without the bucket: `https://s3.eu-central-1.amazonaws.com`, `https://s3.oss-eu-central-1.aliyuncs.com`.',
      ),
    ),
    bucket: v.pipe(
      v.string(),
      v.regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'the name of a bucket is expected'),
      v.description('Name of the bucket.'),
    ),
    region: v.pipe(
      v.optional(v.pipe(v.string(), v.minLength(1)), 'us-east-1'),
      v.description('Region that requests are signed for; `auto` at Cloudflare R2.'),
    ),
    prefix: v.pipe(
      v.optional(
        v.pipe(
          v.string(),
          v.regex(
            /^([A-Za-z0-9_.=-]+\/)*[A-Za-z0-9_.=-]*$/,
            'folders of letters, digits, "-", "_", "." and "=" are expected',
          ),
        ),
        '',
      ),
      v.description('Folders in the bucket before `dt=…`; one for each gateway is wise.'),
    ),
    addressing: v.pipe(
      v.optional(v.picklist(['virtual', 'path']), 'virtual'),
      v.description(
        'virtual: the bucket is part of the host, as S3 and OSS want it. path: it is part of the path, as with MinIO.',
      ),
    ),
    accessKeyId: v.pipe(secret, v.description('Id of the access key.')),
    secretAccessKey: v.pipe(secret, v.description('The access key.')),
    sessionToken: v.pipe(
      v.optional(secret),
      v.description('Session token of temporary credentials.'),
    ),
    bandwidth: v.pipe(
      v.optional(
        v.pipe(
          size,
          v.check((bytes) => bytes >= 16_384, 'at least "16KiB" is expected'),
        ),
        '10MiB',
      ),
      v.description('Bytes a second at most.'),
    ),
  }),
  v.description('Copies finished files to a bucket of S3, Alibaba OSS or whatever speaks its API.'),
)

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:'
  return isHttp && url.username === '' && url.pathname === '/' && !/[?#]/.test(text)
}

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
    upload: v.optional(Upload),
  }),
  v.description('Keeps every request on disk by the hour, for `meridian analytics`.'),
)

export type AnalyticsConfig = v.InferOutput<typeof AnalyticsSection>

/** The `geo` section: how clients are located. */
import * as v from 'valibot'
import { duration, identifier, nonNegativeInteger } from '../values.ts'

export const latitude = v.pipe(
  v.number(),
  v.minValue(-90, 'a latitude is between -90 and 90 degrees'),
  v.maxValue(90, 'a latitude is between -90 and 90 degrees'),
)
export const longitude = v.pipe(
  v.number(),
  v.minValue(-180, 'a longitude is between -180 and 180 degrees'),
  v.maxValue(180, 'a longitude is between -180 and 180 degrees'),
)

const headerName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'a header name is expected'),
  v.transform((name) => name.toLowerCase()),
)

const filePath = v.pipe(v.string(), v.minLength(1, 'a file path is expected'))

export const GeoSection = v.strictObject({
  providers: v.pipe(
    v.optional(v.array(v.picklist(['platform', 'headers', 'mmdb'])), [
      'platform',
      'headers',
      'mmdb',
    ]),
    v.description(
      'Who is asked for the place of a client, in this order, until one knows: the platform (Cloudflare and the like), headers of a trusted proxy, a database.',
    ),
  ),
  headers: v.pipe(
    v.optional(
      v.strictObject({
        country: v.pipe(v.optional(headerName), v.description('ISO 3166-1 alpha-2 code.')),
        latitude: v.pipe(v.optional(headerName), v.description('Degrees.')),
        longitude: v.pipe(v.optional(headerName), v.description('Degrees.')),
        asn: v.pipe(v.optional(headerName), v.description('Autonomous system number.')),
      }),
    ),
    v.description(
      'Headers in which a proxy in front tells the place of the client. Believed only from peers in `trustedProxies`.',
    ),
  ),
  database: v.pipe(
    v.optional(v.union([filePath, v.pipe(v.array(filePath), v.minLength(1))])),
    v.description(
      'MaxMind DB file, or several that are asked in order (a vendor may split IPv4 and IPv6). Default: the country database that comes with the gateway (IP Geolocation by DB-IP, https://db-ip.com).',
    ),
  ),
  reload: v.pipe(
    v.optional(
      v.strictObject({
        interval: v.pipe(
          v.optional(duration, '10s'),
          v.description('How often the files are looked at for a change.'),
        ),
        canaries: v.pipe(
          v.optional(v.pipe(nonNegativeInteger, v.minValue(1000), v.maxValue(1_000_000)), 2000),
          v.description('How many addresses a database must answer well before it is used.'),
        ),
      }),
      {},
    ),
    v.description('How a changed database file is taken over.'),
  ),
  allowIpv4Only: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Accept a database without IPv6; every IPv6 client is then unknown.'),
  ),
  maxAge: v.pipe(
    v.optional(duration, '180d'),
    v.description('A database built longer ago than this is reported as stale.'),
  ),
  gateway: v.pipe(
    v.optional(
      v.union([v.strictObject({ region: identifier }), v.strictObject({ latitude, longitude })]),
    ),
    v.description(
      'Where this gateway stands: a region of the config, or coordinates in degrees. Used where steering measures from the gateway, and for clients whose place is unknown.',
    ),
  ),
})
export type GeoConfig = v.InferOutput<typeof GeoSection>

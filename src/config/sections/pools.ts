/** Origins, grouped into pools that answer for one another (`pools`). */
import * as v from 'valibot'
import { filePath, originUrl, parseOriginUrl } from '../paths.ts'
import { duration, identifier, nonNegativeInteger, percent, positiveInteger } from '../values.ts'
import { HealthSection, OutlierSection } from './health.ts'

const hostHeader = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9._[\]:-]{1,255}$/,
    'a host is expected, such as "app.internal" or "app.internal:8443"',
  ),
)

const OriginTlsOptions = v.strictObject({
  serverName: v.pipe(
    v.optional(hostHeader),
    v.description('Name sent by SNI and checked in the certificate. Left out: the host of `url`.'),
  ),
  ca: v.pipe(
    v.optional(filePath),
    v.description('PEM file with the authorities to trust instead of the system’s.'),
  ),
  cert: v.pipe(
    v.optional(filePath),
    v.description('PEM file with our client certificate (mutual TLS).'),
  ),
  key: v.pipe(v.optional(filePath), v.description('PEM file with the key of `cert`.')),
  verify: v.pipe(
    v.optional(v.boolean(), true),
    v.description(
      'Check the origin’s certificate. False is for tests: anybody can then answer as the origin.',
    ),
  ),
})

const OriginEntry = v.strictObject({
  id: v.pipe(
    v.optional(identifier),
    v.description('Name in logs, metrics and health. Left out: host and port of `url`.'),
  ),
  url: originUrl,
  weight: v.pipe(
    v.optional(v.pipe(nonNegativeInteger, v.maxValue(1000)), 100),
    v.description('Share of requests relative to the other origins, 0 to 1000; 0 takes none.'),
  ),
  maxConnections: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(65_535)), 256),
    v.description('Most connections of one process to this origin; requests above it wait.'),
  ),
  http2: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Speak HTTP/2 to this origin (with `https`, by ALPN).'),
  ),
  tls: v.pipe(v.optional(OriginTlsOptions), v.description('TLS towards an `https` origin.')),
  host: v.pipe(
    v.optional(hostHeader),
    v.description('Host header sent to the origin. Left out: the one the client sent.'),
  ),
})

const DnsOptions = v.pipe(
  v.strictObject({
    perAddress: v.pipe(
      v.optional(v.boolean(), true),
      v.description(
        'A name with several addresses is several origins: each has its own load, health and connections, and the weight of the origin.',
      ),
    ),
    family: v.pipe(
      v.optional(v.picklist(['auto', 'any', 'ipv4', 'ipv6']), 'auto'),
      v.description(
        'Addresses that count. `auto`: where a name has several of a family, those of the family that the resolver puts first; otherwise the one of either family, whichever connects.',
      ),
    ),
    ttlMin: v.pipe(
      v.optional(v.pipe(duration, v.minValue(100, 'at least "100ms" is expected')), '1s'),
      v.description('A name is resolved again no sooner, whatever its time to live.'),
    ),
    ttlMax: v.pipe(
      v.optional(v.pipe(duration, v.minValue(100, 'at least "100ms" is expected')), '30s'),
      v.description('And no later; also where the name has no time to live.'),
    ),
  }),
  v.forward(
    v.check((dns) => dns.ttlMin <= dns.ttlMax, '"ttlMin" is above "ttlMax"'),
    ['ttlMin'],
  ),
)

/** Timeouts towards origins; a route may set its own. */
export const OriginTimeouts = {
  connect: v.pipe(
    v.optional(duration, '2s'),
    v.description('For the connection to an origin, with TLS; then the next origin is tried.'),
  ),
  firstByte: v.pipe(
    v.optional(duration, '30s'),
    v.description('From the request being sent to its response header.'),
  ),
  idle: v.pipe(
    v.optional(duration, '60s'),
    v.description('Between two pieces of a response body; then the response is cut.'),
  ),
}

export const PoolSection = v.pipe(
  v.strictObject({
    origins: v.pipe(
      v.array(OriginEntry),
      v.minLength(1, 'a pool has at least one origin'),
      v.description('Servers that answer alike.'),
      v.transform((origins) =>
        origins.map((origin) => ({ ...origin, id: origin.id ?? defaultOriginId(origin.url) })),
      ),
    ),
    balance: v.pipe(
      v.optional(
        v.picklist([
          'least-request',
          'peak-ewma',
          'round-robin',
          'random',
          'ip-hash',
          'ip-hash-bounded',
          'maglev',
        ]),
        'least-request',
      ),
      v.description(
        'How an origin is chosen among the healthy ones: of two drawn ones the less busy, or the one that answers sooner (`peak-ewma`); in turn; at random; by the client’s address: its first choice, the first that has no more than 125 % of its share of the load (`ip-hash-bounded`), or by a table for large pools (`maglev`).',
      ),
    ),
    slowStart: v.pipe(
      v.optional(duration, '30s'),
      v.description(
        'Time in which an origin that came back goes from a tenth of its weight to all of it; 0 is at once. Not at the start of the gateway.',
      ),
    ),
    panic: v.pipe(
      v.optional(
        v.strictObject({
          below: v.pipe(
            v.optional(percent, 50),
            v.description('Share of the pool’s weight that is up, per cent.'),
          ),
          mode: v.pipe(
            v.picklist(['all', 'none']),
            v.description(
              'Use all of its origins as if they were well, so that the few are not buried; or none, so that other pools take over at once.',
            ),
          ),
        }),
      ),
      v.description(
        'What to do when little of the pool is up. Left out: those that are up get everything.',
      ),
    ),
    health: v.pipe(
      v.optional(HealthSection),
      v.description('Active checks. Left out: origins are judged by live traffic alone.'),
    ),
    outlier: v.pipe(
      v.optional(OutlierSection, {}),
      v.description('Ejection of origins that fail live requests.'),
    ),
    timeouts: v.pipe(
      v.optional(v.strictObject(OriginTimeouts), {}),
      v.description('Timeouts towards the origins.'),
    ),
    dns: v.pipe(
      v.optional(DnsOptions, {}),
      v.description('What becomes of the names of the origins.'),
    ),
    keepAlive: v.pipe(
      v.optional(duration, '4s'),
      v.description(
        'How long an idle connection to an origin is kept for the next request. Shorter than the origin keeps it (many close after 5 s), so that it is never the origin that closes.',
      ),
    ),
  }),
  v.description('A group of origins.'),
)
export type PoolConfig = v.InferOutput<typeof PoolSection>
export type OriginConfig = PoolConfig['origins'][number]

/** `pools`: origins by pool name. */
export const PoolsSection = v.pipe(
  v.record(identifier, PoolSection),
  v.description('Pools of origins by name.'),
)
export type PoolsConfig = v.InferOutput<typeof PoolsSection>

function defaultOriginId(url: string): string {
  const parsed = parseOriginUrl(url)
  if (parsed === undefined) return url
  return parsed.socketPath ?? `${parsed.hostname}:${parsed.port}`
}

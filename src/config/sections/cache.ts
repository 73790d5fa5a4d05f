/** The cache: what the process keeps (`cache`), and how a route uses it (`routes[].cache`). */
import * as v from 'valibot'
import {
  countryCode,
  duration,
  expression,
  identifier,
  nonNegativeInteger,
  positiveInteger,
  secret,
  size,
} from '../values.ts'

const fieldName = v.pipe(
  v.string(),
  v.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'a header field name is expected'),
  v.toLowerCase(),
)
const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1))
const statusCode = v.pipe(
  v.string(),
  v.regex(/^[2-5][0-9]{2}$/, 'a status code from 200 to 599 is expected'),
)

function described<const S extends v.GenericSchema>(schema: S, text: string) {
  return v.pipe(schema, v.description(text))
}

const profile = v.pipe(
  v.picklist(['safe', 'rfc9111']),
  v.description(
    'safe: clients cannot force origin requests, Set-Cookie and error answers are stored only when the origin says so in as many words. rfc9111: the letter of the RFC.',
  ),
)

/** The bucket `RESERVE` of a Worker: which responses are worth a write. */
export const ReserveSection = v.strictObject({
  minObject: described(v.optional(size, '4KiB'), 'The smallest body that is kept there.'),
  maxObject: described(
    v.optional(v.pipe(size, v.maxValue(4 * 1024 ** 2, 'at most "4MiB" is expected')), '4MiB'),
    'The largest body that is kept there.',
  ),
  minLifetime: described(
    v.optional(duration, '1h'),
    'Freshness and stale use that a response must still have together, by its own fields.',
  ),
  keep: described(
    v.optional(duration, '1d'),
    'How long a response stays beyond its freshness and stale use, for validation.',
  ),
})
export type ReserveConfig = v.InferOutput<typeof ReserveSection>

/** What the process keeps; one for all routes. */
export const CacheSection = v.strictObject({
  name: described(
    v.optional(identifier, 'meridian'),
    'How this cache calls itself in Cache-Status (RFC 9211).',
  ),
  profile: v.optional(profile, 'safe'),
  memory: described(
    v.optional(size, '256MiB'),
    'Memory for stored responses, with everything that an entry costs the process.',
  ),
  admission: described(
    v.optional(v.picklist(['tinylfu', 'lru']), 'tinylfu'),
    'Which responses stay when memory is full: by frequency and size (tinylfu) or by last use (lru).',
  ),
  maxMemoryObject: described(v.optional(size, '16MiB'), 'The largest body kept in memory.'),
  fillMemory: described(
    v.optional(size, '128MiB'),
    'Memory for bodies that are still arriving; when it is used up, new requests are not shared.',
  ),
  statusHeader: described(v.optional(v.boolean(), true), 'Whether responses carry Cache-Status.'),
  disk: described(
    v.optional(
      v.strictObject({
        directory: described(v.pipe(v.string(), v.minLength(1)), 'Where the files are.'),
        size: described(v.optional(size, '20GiB'), 'Most bytes on disk.'),
        maxObject: described(v.optional(size, '1GiB'), 'The largest body kept on disk.'),
        key: described(
          v.optional(secret),
          'A secret of 32 bytes (hex or base64): files are encrypted with AES-256-GCM.',
        ),
      }),
    ),
    'A second tier on disk (Node).',
  ),
  redis: described(
    v.optional(
      v.strictObject({
        maxObject: described(
          v.optional(
            v.pipe(size, v.maxValue(16 * 1024 ** 2, 'at most "16MiB" is expected')),
            '256KiB',
          ),
          'The largest body that is shared.',
        ),
        keep: described(
          v.optional(duration, '1d'),
          'How long a response stays beyond its freshness, for validation and stale use.',
        ),
        key: described(
          v.optional(secret),
          'A secret of 32 bytes (hex or base64), the same for the fleet: values are sealed with AES-256-GCM.',
        ),
      }),
    ),
    'A last tier of small responses that all gateways on the server of `redis` share (Node).',
  ),
  reserve: described(
    v.optional(ReserveSection),
    'A last tier of large, long-lived responses in the bucket bound as `RESERVE` (Workers).',
  ),
})
export type CacheConfig = v.InferOutput<typeof CacheSection>

const query = v.strictObject({
  mode: described(
    v.optional(v.picklist(['all', 'none', 'include', 'exclude']), 'all'),
    'Which query parameters are part of the key: all, none, only `names`, all but `names`.',
  ),
  names: described(
    v.optional(v.array(v.string()), []),
    'Parameter names; a trailing * matches a prefix.',
  ),
  sort: described(
    v.optional(v.boolean(), false),
    'Sort parameters, so that their order makes no difference.',
  ),
})

const action = v.strictObject({
  bypass: described(v.optional(v.boolean()), 'Neither look up nor store.'),
  ttl: described(v.optional(duration), 'Freshness lifetime, whatever the origin says.'),
  defaultTtl: described(v.optional(duration), 'Freshness lifetime where the origin says nothing.'),
  whileRevalidate: described(
    v.optional(duration),
    'How long a stale answer may be given while it is revalidated.',
  ),
  ifError: described(
    v.optional(duration),
    'How long a stale answer may be given when the origin fails.',
  ),
  keyHeaders: described(v.optional(v.array(fieldName)), 'Request fields added to the key.'),
  query: v.optional(query),
})

/** How a route uses the cache; its presence switches the cache on for the route. */
export const RouteCacheSection = v.strictObject({
  enabled: described(v.optional(v.boolean(), true), 'False keeps the settings and bypasses.'),
  profile: v.optional(profile),
  key: v.optional(
    v.strictObject({
      query: v.optional(query, {}),
      headers: described(
        v.optional(v.array(fieldName), []),
        'Request fields that are part of the key.',
      ),
      cookies: described(
        v.optional(v.array(v.string()), []),
        'Cookies whose values are part of the key.',
      ),
      country: described(
        v.optional(v.boolean(), false),
        "The client's country is part of the key.",
      ),
      countryGroups: described(
        v.optional(v.record(v.string(), v.array(countryCode)), {}),
        'Named groups of countries that share an answer; implies `country`.',
      ),
      hostAlias: described(
        v.optional(v.record(v.string(), v.string()), {}),
        'Hosts that share the answers of another: {"www.example.com": "example.com"}.',
      ),
    }),
    {},
  ),
  ttl: v.optional(
    v.strictObject({
      default: described(
        v.optional(duration),
        'Freshness lifetime of a successful response that has none.',
      ),
      min: described(v.optional(duration, '0s'), 'Shortest freshness lifetime.'),
      max: described(v.optional(duration, '365d'), 'Longest freshness lifetime.'),
      override: described(
        v.optional(duration),
        'Freshness lifetime, whatever the origin says (private and no-store still count).',
      ),
      status: described(
        v.optional(v.record(statusCode, duration), {}),
        'Freshness lifetime by status where the origin says nothing: {"404": "60s"}.',
      ),
      heuristic: v.optional(
        v.strictObject({
          fraction: described(
            v.optional(fraction, 0.1),
            'Part of the time since Last-Modified for which a response without freshness is fresh.',
          ),
          max: described(v.optional(duration, '1d'), 'Longest heuristic lifetime.'),
          maxError: described(
            v.optional(duration, '10s'),
            'Longest heuristic lifetime of an error status (profile safe).',
          ),
        }),
        {},
      ),
    }),
    {},
  ),
  stale: v.optional(
    v.strictObject({
      whileRevalidate: described(
        v.optional(duration, '0s'),
        'Where the origin does not say and does not forbid: a stale answer is given this long while a new one is fetched.',
      ),
      ifError: described(
        v.optional(duration, '1d'),
        'Where the origin does not say and does not forbid: a stale answer is given this long when it fails.',
      ),
      keep: described(
        v.optional(duration, '7d'),
        'How long a stale response is kept for validation.',
      ),
      afterMs: described(
        v.optional(duration),
        'Give a stale answer (within `ifError`) when revalidation takes longer than this.',
      ),
      earlyRefresh: described(
        v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(10))),
        'Refresh popular responses before they expire (XFetch); 1 is usual, larger is earlier.',
      ),
    }),
    {},
  ),
  vary: v.optional(
    v.strictObject({
      normalize: described(
        v.optional(v.array(v.picklist(['accept-encoding', 'accept-language'])), [
          'accept-encoding',
          'accept-language',
        ]),
        'Request fields compared, and Accept-Encoding forwarded, in normal form.',
      ),
      maxVariants: described(
        v.optional(v.pipe(positiveInteger, v.maxValue(1024)), 64),
        'Most variants of one key; the oldest goes.',
      ),
      bypassOn: described(
        v.optional(v.array(fieldName), ['cookie', 'user-agent']),
        'A response that varies by one of these is not stored (profile safe).',
      ),
    }),
    {},
  ),
  coalesce: v.optional(
    v.strictObject({
      enabled: described(
        v.optional(v.boolean(), true),
        'Requests for the same thing at the same time make one origin request.',
      ),
      waitMs: described(
        v.optional(duration, '5s'),
        "How long a request waits for another's response headers before it goes alone.",
      ),
      hitForMiss: described(
        v.optional(duration, '120s'),
        'How long requests for something that cannot be shared do not wait for each other.',
      ),
    }),
    {},
  ),
  range: v.optional(
    v.strictObject({
      maxRanges: described(
        v.optional(v.pipe(positiveInteger, v.maxValue(64)), 8),
        'Ranges served of one request; with more the whole is sent.',
      ),
      storePartial: described(
        v.optional(v.boolean(), true),
        'Keep explicitly fresh 206 responses.',
      ),
      slice: described(
        v.optional(v.union([v.literal(false), size], 'false, or a size, is expected'), '1MiB'),
        'A range of something that is not stored is fetched and kept in aligned slices of this size, under a strong entity tag; false forwards ranges as they are.',
      ),
    }),
    {},
  ),
  shield: described(
    v.optional(
      v.strictObject({
        pool: described(
          identifier,
          'Pool whose origins are gateways of this fleet, near to the origins proper. They must trust this gateway (`trustedProxies`).',
        ),
        timeout: described(
          v.optional(v.pipe(duration, v.minValue(1, 'at least "1ms" is expected')), '10s'),
          'How long the shield may take to the response header before the origin is asked.',
        ),
      }),
    ),
    'An origin shield: what the cache would fetch is asked of another gateway first, and of the origin when that is down or refuses.',
  ),
  limits: v.optional(
    v.strictObject({
      maxObject: described(v.optional(size, '1GiB'), 'The largest body that is stored.'),
      maxHeaderBytes: described(
        v.optional(size, '32KiB'),
        'A response with larger header fields is not stored.',
      ),
    }),
    {},
  ),
  security: v.optional(
    v.strictObject({
      stripUnkeyed: described(
        v.optional(v.array(fieldName), [
          'forwarded',
          'x-forwarded-host',
          'x-forwarded-server',
          'x-forwarded-scheme',
          'x-forwarded-prefix',
          'x-forwarded-port',
          'x-forwarded-path',
          'x-host',
          'x-original-host',
          'x-original-url',
          'x-rewrite-url',
          'x-http-method-override',
          'x-http-method',
          'x-method-override',
          'x-middleware-prefetch',
          'x-middleware-subrequest',
          'x-now-route-matches',
          'x-matched-path',
        ]),
        'Request fields that steer origins and are not in the key: taken off cacheable requests before they are forwarded.',
      ),
      fatGet: described(
        v.optional(v.picklist(['drop', 'bypass', 'reject']), 'bypass'),
        'A GET with a body: forward without it, forward uncached, or refuse with 400.',
      ),
      deceptionArmor: described(
        v.optional(v.boolean(), true),
        'Do not store a page under the name of a static file (/account/x.css as text/html) unless it is public.',
      ),
      setCookie: described(
        v.optional(v.picklist(['auto', 'bypass', 'strip', 'store']), 'auto'),
        'Responses with Set-Cookie. auto: as the profile says (safe stores only what is public or has s-maxage; rfc9111 stores).',
      ),
      ignoreClientDirectives: described(
        v.optional(v.boolean()),
        'Ignore Cache-Control and Pragma of requests. Default: true for safe, false for rfc9111.',
      ),
    }),
    {},
  ),
  tags: v.optional(
    v.strictObject({
      headers: described(
        v.optional(v.array(fieldName), ['cache-tag', 'surrogate-key']),
        'Response fields that carry purge tags.',
      ),
      expose: described(v.optional(v.boolean(), false), 'Whether clients see these fields.'),
      max: described(v.optional(nonNegativeInteger, 64), 'Tags used of one response.'),
    }),
    {},
  ),
  targeted: described(
    v.optional(v.array(fieldName), ['cdn-cache-control']),
    'Targeted cache-control fields (RFC 9213), first wins.',
  ),
  rules: described(
    v.optional(
      v.pipe(
        v.array(v.strictObject({ when: expression, action })),
        v.maxLength(24, 'a route has at most 24 cache rules'),
      ),
      [],
    ),
    'Changes for requests that match; later rules win.',
  ),
})
export type RouteCacheConfig = v.InferOutput<typeof RouteCacheSection>
export type CacheRuleAction = v.InferOutput<typeof action>

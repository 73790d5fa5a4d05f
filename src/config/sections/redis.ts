/** The `redis` section: the server that the gateways of a fleet share. */
import * as v from 'valibot'
import { filePath } from '../paths.ts'
import { duration, identifier, nonNegativeInteger, secret } from '../values.ts'

/** Taken apart; undefined where the text is no such address. A password, database or option in it is refused. */
export function parseRedisUrl(
  text: string,
): { host: string; port: number; isTls: boolean } | { socketPath: string } | undefined {
  if (text.startsWith('unix:')) {
    const socketPath = text.slice(5)
    return /^\/[^\0\r\n]{1,106}$/.test(socketPath) ? { socketPath } : undefined
  }
  const parts =
    /^redis(s?):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?\/?$/.exec(text)
  if (parts === null) return undefined
  const number = Number(parts[4] ?? 6379)
  if (number < 1 || number > 65_535) return undefined
  return { host: (parts[2] ?? parts[3]) as string, port: number, isTls: parts[1] === 's' }
}

export const RedisSection = v.pipe(
  v.strictObject({
    url: v.pipe(
      v.string(),
      v.check(
        (text) => parseRedisUrl(text) !== undefined,
        'redis://HOST:PORT, rediss://HOST:PORT (TLS) or unix:/PATH is expected, with no password, database or options in it',
      ),
      v.description(
        'The server: `redis://HOST:PORT`, `rediss://HOST:PORT` over TLS, or `unix:/PATH`. Redis 6 or newer, or Valkey.',
      ),
    ),
    username: v.pipe(
      v.optional(v.pipe(v.string(), v.minLength(1))),
      v.description('User of the access control list; left out, the default user.'),
    ),
    password: v.pipe(v.optional(secret), v.description('Password of the user.')),
    database: v.pipe(
      v.optional(nonNegativeInteger, 0),
      v.description('Number of the logical database.'),
    ),
    keyPrefix: v.pipe(
      v.optional(identifier, 'meridian'),
      v.description('First part of every key and channel; gateways with the same prefix share.'),
    ),
    keySecret: v.pipe(
      v.optional(secret),
      v.description(
        'Key of the hash that names clients in the server, at least 16 bytes, the same for all gateways. Left out: made of `password`.',
      ),
    ),
    node: v.pipe(
      v.optional(identifier),
      v.description('Name of this gateway in the fleet; left out, one is drawn at start.'),
    ),
    commandTimeout: v.pipe(
      v.optional(
        v.pipe(
          duration,
          v.minValue(1, 'at least "1ms" is expected'),
          v.maxValue(10_000, 'at most "10s" is expected'),
        ),
        '50ms',
      ),
      v.description('How long one command may take before the gateway goes on without it.'),
    ),
    connectTimeout: v.pipe(
      v.optional(
        v.pipe(
          duration,
          v.minValue(10, 'at least "10ms" is expected'),
          v.maxValue(60_000, 'at most "60s" is expected'),
        ),
        '2s',
      ),
      v.description('How long one attempt to connect may take; attempts go on behind the traffic.'),
    ),
    tls: v.pipe(
      v.optional(
        v.strictObject({
          ca: v.pipe(
            v.optional(filePath),
            v.description('PEM file of the authorities to trust instead of the system’s.'),
          ),
          serverName: v.pipe(
            v.optional(v.pipe(v.string(), v.minLength(1))),
            v.description('Name in the certificate, where it is not the one in the URL.'),
          ),
        }),
      ),
      v.description('TLS towards the server; only with `rediss://`.'),
    ),
  }),
  v.forward(
    v.check(
      (redis) => redis.tls === undefined || redis.url.startsWith('rediss:'),
      'TLS settings need a URL that begins with rediss://',
    ),
    ['tls'],
  ),
  v.forward(
    v.check(
      (redis) => redis.username === undefined || redis.password !== undefined,
      'a user needs "password"',
    ),
    ['username'],
  ),
)

export type RedisConfig = v.InferOutput<typeof RedisSection>

/** The `admin` section: where the control port listens and who may use it. */
import * as v from 'valibot'
import { parseIp } from '../../http/ip.ts'
import { duration, identifier, ipAddress, nonNegativeInteger, port, secret } from '../values.ts'

function isLoopback(address: string): boolean {
  const ip = parseIp(address)
  if (ip === undefined) return false
  return ip.family === 4 ? (ip.words[0] as number) >>> 24 === 127 : ip.text === '::1'
}

export const AdminSection = v.pipe(
  v.strictObject({
    enabled: v.pipe(
      v.optional(v.boolean(), true),
      v.description('Whether there is a control port at all.'),
    ),
    address: v.pipe(
      v.optional(ipAddress, '127.0.0.1'),
      v.description('Address of the control port. Any other than loopback needs a token.'),
    ),
    port: v.pipe(
      v.optional(port, 9090),
      v.description('TCP port of the control port; 0 picks a free one.'),
    ),
    socket: v.pipe(
      v.optional(v.pipe(v.string(), v.minLength(1))),
      v.description(
        'Path of a Unix socket to listen on instead of TCP; only its owner may connect.',
      ),
    ),
    token: v.pipe(
      v.optional(secret),
      v.description(
        'Bearer token that callers must send, except for /healthz and /readyz. At least 16 characters.',
      ),
    ),
    readToken: v.pipe(
      v.optional(secret),
      v.description('A second token, which may look and change nothing.'),
    ),
    jwt: v.pipe(
      v.optional(
        v.strictObject({
          issuers: v.pipe(
            v.optional(v.pipe(v.array(identifier), v.minLength(1))),
            v.description('Which of `iam.issuers`, by id. Left out: all.'),
          ),
          audience: v.pipe(
            v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1))]),
            v.description('For whom the tokens must be meant: this control port.'),
          ),
          readScope: v.pipe(
            v.optional(v.pipe(v.string(), v.minLength(1)), 'meridian.read'),
            v.description('Scope that lets its bearer look.'),
          ),
          adminScope: v.pipe(
            v.optional(v.pipe(v.string(), v.minLength(1)), 'meridian.admin'),
            v.description('Scope that lets its bearer do everything.'),
          ),
          amr: v.pipe(
            v.optional(v.array(v.string()), ['mfa']),
            v.description(
              'Authentication methods (RFC 8176) that the user must have used, all of them; an empty list asks for none.',
            ),
          ),
          acr: v.pipe(
            v.optional(v.pipe(v.array(v.string()), v.minLength(1))),
            v.description('Accepted authentication contexts.'),
          ),
          maxAge: v.pipe(
            v.optional(duration),
            v.description('Longest time since the user authenticated.'),
          ),
        }),
      ),
      v.description(
        'Callers with JSON Web Tokens of `iam.issuers`, besides or instead of a token.',
      ),
    ),
    audit: v.pipe(
      v.optional(
        v.strictObject({
          file: v.pipe(
            v.optional(v.pipe(v.string(), v.minLength(1))),
            v.description(
              'File that every change by the control port and every refused attempt is appended to, relative to the config. Left out: kept in memory only.',
            ),
          ),
        }),
        {},
      ),
      v.description('The audit log; `meridian audit verify` checks its chain of hashes.'),
    ),
    recorded: v.pipe(
      v.optional(v.pipe(nonNegativeInteger, v.maxValue(10_000)), 0),
      v.description(
        'Requests that each process keeps, masked as logs are and without bodies, to try changed rules on; 0 keeps none.',
      ),
    ),
    hosts: v.pipe(
      v.optional(v.array(v.pipe(v.string(), v.minLength(1))), []),
      v.description(
        'Host names under which the control port may be called, besides localhost and IP addresses; any other is refused, against DNS rebinding.',
      ),
    ),
  }),
  v.forward(
    v.check(
      (admin) =>
        !admin.enabled ||
        admin.socket !== undefined ||
        admin.token !== undefined ||
        admin.readToken !== undefined ||
        admin.jwt !== undefined ||
        isLoopback(admin.address),
      'the control port needs "token" on an address that is not loopback',
    ),
    ['address'],
  ),
)

export type AdminConfig = v.InferOutput<typeof AdminSection>

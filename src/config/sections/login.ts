/** Login of browsers (`iam.login`): OpenID Connect with one provider, the session in a sealed cookie. */
import * as v from 'valibot'
import { duration, secret } from '../values.ts'
import { claimPath, keyUrl, scopeToken } from './iam-values.ts'

/** A path of this site; `//host` would be another one. */
const page = v.pipe(
  v.string(),
  v.regex(/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,1024}$/, 'a path such as "/goodbye" is expected'),
)

export const LoginSection = v.strictObject({
  issuer: v.pipe(
    keyUrl,
    v.description('The provider, exactly as it names itself; its metadata is found from here.'),
  ),
  clientId: v.pipe(v.string(), v.minLength(1), v.description('Our client id there.')),
  clientSecret: v.pipe(
    v.optional(secret),
    v.description('Our client secret there. Left out: a public client, protected by PKCE alone.'),
  ),
  clientAuthentication: v.pipe(
    v.optional(v.picklist(['basic', 'post']), 'basic'),
    v.description('How the secret is sent: client_secret_basic or client_secret_post.'),
  ),
  secret: v.pipe(
    v.union(
      [
        secret,
        v.pipe(v.array(secret), v.minLength(1, 'at least one secret is expected'), v.maxLength(4)),
      ],
      'a secret, or a list of secrets of which the first seals, is expected',
    ),
    v.description(
      'Seals sessions, at least 32 bytes; of several the first seals and all open. The same for all nodes.',
    ),
  ),
  scopes: v.pipe(
    v.optional(v.array(scopeToken), ['openid', 'profile', 'email']),
    v.description(
      'Scopes that are asked for. Many providers give a refresh token for offline_access.',
    ),
  ),
  parameters: v.pipe(
    v.optional(v.record(v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{1,64}$/)), v.string()), {}),
    v.description('More parameters of the authorization request, such as prompt or audience.'),
  ),
  path: v.pipe(
    v.optional(
      v.pipe(
        v.string(),
        v.regex(
          /^(\/[A-Za-z0-9._~-]*[A-Za-z0-9_~-])+$/,
          'a path such as "/.meridian/login", without a slash at its end, is expected',
        ),
        v.maxLength(128),
      ),
      '/.meridian/login',
    ),
    v.description(
      'Where a login begins; `/callback` (to be registered with the provider) and `/logout` stand below it. No request for them reaches a route.',
    ),
  ),
  lifetime: v.pipe(
    v.optional(duration, '8h'),
    v.description('A session ends so long after the login, whatever happens.'),
  ),
  idle: v.pipe(
    v.optional(duration, '1h'),
    v.description('A session ends when nothing was asked for so long, give or take a quarter.'),
  ),
  refreshAhead: v.pipe(
    v.optional(duration, '60s'),
    v.description('With a refresh token, claims are renewed so long before the access token ends.'),
  ),
  claims: v.pipe(
    v.optional(v.array(claimPath)),
    v.description(
      'Claims of the ID token to keep, besides those that the config reads. Left out: all. Sessions above 11 KB are refused.',
    ),
  ),
  map: v.pipe(
    v.optional(
      v.strictObject({
        scopes: v.pipe(v.optional(claimPath), v.description('Left out: the scopes granted.')),
        roles: v.pipe(v.optional(claimPath), v.description('Left out: roles.')),
        tenant: v.pipe(v.optional(claimPath), v.description('Left out: no tenant.')),
      }),
      {},
    ),
    v.description('Where things stand in the ID token: a name, or a path with dots.'),
  ),
  logout: v.pipe(
    v.optional(
      v.strictObject({
        to: v.pipe(v.optional(page, '/'), v.description('Page of this site after a logout.')),
        idTokenHint: v.pipe(
          v.optional(v.boolean(), false),
          v.description(
            'Keep the ID token in the session and show it at the logout: some providers ask for it.',
          ),
        ),
      }),
      {},
    ),
    v.description('What follows a logout.'),
  ),
})

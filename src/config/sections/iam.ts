/**
 * Who may: token issuers, API keys, signed URLs, certificates and introspection (`iam`), and what a route
 * asks of a caller (`routes[].auth`).
 */
import * as v from 'valibot'
import { filePath } from '../paths.ts'
import { cidr, duration, expression, identifier, positiveInteger, secret, size } from '../values.ts'
import { claimPath, httpsUrl, keyUrl, scopeToken } from './iam-values.ts'
import { LoginSection } from './login.ts'

const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'HS256',
  'HS384',
  'HS512',
] as const

const fieldName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$/, 'a lower-case header name is expected'),
)
const cookieName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, 'a cookie name is expected'),
)
const origin = v.pipe(
  v.string(),
  v.regex(
    /^https?:\/\/[a-z0-9.-]+(:[0-9]{1,5})?$/,
    'an origin such as "https://api.example.com" is expected',
  ),
)

const Jwks = v.union(
  [
    v.strictObject({
      url: v.pipe(keyUrl, v.description('Where the key set is fetched.')),
      ttl: v.pipe(
        v.optional(duration, '10m'),
        v.description(
          'Freshness when the answer says nothing; its max-age counts within 1m to 24h.',
        ),
      ),
      maxStale: v.pipe(
        v.optional(duration, '24h'),
        v.description('How long the last good set serves on while fetching fails.'),
      ),
      cooldown: v.pipe(
        v.optional(duration, '30s'),
        v.description('At most one fetch for an unknown key in this time, counted from attempts.'),
      ),
      bootstrap: v.pipe(
        v.optional(filePath),
        v.description('Key set file to begin with while the issuer cannot be reached.'),
      ),
    }),
    v.strictObject({
      keys: v.pipe(
        v.array(v.record(v.string(), v.unknown())),
        v.minLength(1, 'at least one key is expected'),
        v.maxLength(64),
        v.description('Public keys as JWKs (RFC 7517).'),
      ),
    }),
    v.strictObject({ file: v.pipe(filePath, v.description('A JWK set file.')) }),
  ],
  'a key set is {"url": …}, {"keys": […]} or {"file": …}',
)

const Issuer = v.strictObject({
  id: v.pipe(identifier, v.description('Name in routes, logs and metrics.')),
  issuer: v.pipe(
    v.string(),
    v.minLength(1),
    v.maxLength(2048),
    v.description('Exact value of the `iss` claim; compared byte by byte.'),
  ),
  jwks: v.pipe(v.optional(Jwks), v.description('Public keys. Either `jwks` or `secret` is given.')),
  secret: v.pipe(
    v.optional(secret),
    v.description('Shared secret for HS256, HS384, HS512; at least as long as the hash.'),
  ),
  algorithms: v.pipe(
    v.optional(v.pipe(v.array(v.picklist(ALGORITHMS)), v.minLength(1))),
    v.description(
      'Signature algorithms. Left out: RS256 PS256 ES256 ES384 EdDSA Ed25519, or HS256 with `secret`.',
    ),
  ),
  types: v.pipe(
    v.optional(v.pipe(v.array(v.nullable(v.string())), v.minLength(1))),
    v.description(
      'Accepted `typ` header values without `application/`; null accepts none. Left out: at+jwt (RFC 9068). Many providers need "JWT".',
    ),
  ),
  profile: v.pipe(
    v.optional(v.picklist(['rfc9068', 'none']), 'none'),
    v.description('rfc9068: iss, exp, aud, sub, client_id, iat and jti are required.'),
  ),
  maxLifetime: v.pipe(
    v.optional(duration, '24h'),
    v.description('Longest time between `iat` (or now) and `exp`.'),
  ),
  map: v.pipe(
    v.optional(
      v.strictObject({
        scopes: v.pipe(v.optional(claimPath), v.description('Left out: scope, then scp.')),
        roles: v.pipe(v.optional(claimPath), v.description('Left out: roles.')),
        tenant: v.pipe(v.optional(claimPath), v.description('Left out: no tenant.')),
        clientId: v.pipe(v.optional(claimPath), v.description('Left out: client_id, then azp.')),
      }),
      {},
    ),
    v.description('Where things stand in the claims: a name, or a path with dots.'),
  ),
})

const ApiKey = v.strictObject({
  id: v.pipe(
    v.string(),
    v.regex(/^[A-Za-z0-9]{4,32}$/, 'a key id has 4 to 32 letters and digits'),
    v.description('Public part of the key.'),
  ),
  hashes: v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.regex(/^(sha256|hmac-sha256):[0-9a-f]{64}$/, '"sha256:<64 hex digits>" is expected'),
      ),
    ),
    v.minLength(1),
    v.maxLength(2, 'a key has one secret, or two while it is rotated'),
    v.description('What `meridian key create` printed. Two while a key is rotated.'),
  ),
  subject: v.pipe(v.optional(v.string()), v.description('Left out: the id.')),
  scopes: v.pipe(v.optional(v.array(scopeToken), []), v.description('Scopes granted.')),
  roles: v.pipe(v.optional(v.array(v.string()), []), v.description('Roles granted.')),
  tenant: v.pipe(v.optional(v.string()), v.description('Tenant it belongs to.')),
  expires: v.pipe(
    v.optional(v.pipe(v.string(), v.isoTimestamp('an ISO 8601 time with zone is expected'))),
    v.description('Refused from then on.'),
  ),
  addresses: v.pipe(v.optional(v.array(cidr)), v.description('Client addresses that may use it.')),
  claims: v.pipe(
    v.optional(v.record(v.string(), v.unknown()), {}),
    v.description('More about the caller, such as its plan; visible to policies.'),
  ),
})

const keyed = v.pipe(
  v.array(
    v.strictObject({
      id: v.pipe(identifier, v.description('Names the key, so that it can be replaced.')),
      secret: v.pipe(
        secret,
        v.description('The key, or the PEM of the public key for CloudFront.'),
      ),
    }),
  ),
  v.minLength(1, 'at least one key is expected'),
  v.maxLength(8),
)

const SignedUrl = v.strictObject({
  id: v.pipe(identifier, v.description('Name in `routes[].auth.signedUrl`.')),
  type: v.pipe(
    v.picklist(['meridian', 'alibaba-a', 'alibaba-b', 'alibaba-c', 'cloudfront', 'cloudflare']),
    v.description(
      'How URLs are signed. meridian: HMAC-SHA256 of host, path, query and expiry. alibaba-*: MD5, for migration only.',
    ),
  ),
  keys: v.pipe(keyed, v.description('Keys; for types without a key id all are tried.')),
  lifetime: v.pipe(
    v.optional(duration, '30m'),
    v.description('alibaba-*, cloudflare: how long after its timestamp a URL is good.'),
  ),
  parameter: v.pipe(
    v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/))),
    v.description('Query parameter: auth_key for alibaba-a, verify for cloudflare.'),
  ),
})

const Introspection = v.strictObject({
  id: v.pipe(identifier, v.description('Name in `routes[].auth.introspection`.')),
  url: v.pipe(keyUrl, v.description('RFC 7662 endpoint.')),
  clientId: v.pipe(v.string(), v.minLength(1), v.description('Our client id there.')),
  clientSecret: v.pipe(secret, v.description('Our client secret there.')),
  ttl: v.pipe(
    v.optional(duration, '60s'),
    v.description('How long an active answer is kept, at most until `exp`.'),
  ),
  timeout: v.pipe(v.optional(duration, '2s'), v.description('Longest wait for an answer.')),
  stale: v.pipe(
    v.optional(
      v.pipe(
        duration,
        v.check((ms) => ms <= 30_000, 'at most 30s'),
      ),
      '0s',
    ),
    v.description('How long an answer serves on while the endpoint fails, at most 30s.'),
  ),
})

const ClaimTest = v.union(
  [
    v.string(),
    v.number(),
    v.boolean(),
    v.pipe(v.array(v.union([v.string(), v.number()])), v.minLength(1)),
  ],
  'a value, or a list of values of which one must be there, is expected',
)

const RouteAuthObject = v.strictObject({
  methods: v.pipe(
    v.optional(
      v.pipe(
        v.array(v.picklist(['jwt', 'opaque', 'api-key', 'signed-url', 'certificate', 'session'])),
        v.minLength(1),
      ),
    ),
    v.description(
      'Kinds of credentials. Left out: jwt, and what `introspection` and `signedUrl` name. session: a browser that logged in by `iam.login`.',
    ),
  ),
  optional: v.pipe(
    v.optional(v.boolean(), false),
    v.description(
      'Let requests without credentials pass as anonymous; bad ones are still refused.',
    ),
  ),
  issuers: v.pipe(v.optional(v.array(identifier)), v.description('Issuers by id. Left out: all.')),
  audience: v.pipe(
    v.optional(v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1))])),
    v.description('Values of which `aud` must hold one. Needed when jwt is among the methods.'),
  ),
  anyAudience: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Accept tokens meant for anybody. Only for providers without audiences.'),
  ),
  scopes: v.pipe(
    v.optional(v.array(scopeToken), []),
    v.description('Scopes that are all required.'),
  ),
  anyScope: v.pipe(
    v.optional(v.array(scopeToken), []),
    v.description('Scopes of which one is required.'),
  ),
  roles: v.pipe(
    v.optional(v.array(v.string()), []),
    v.description('Roles of which one is required.'),
  ),
  claims: v.pipe(
    v.optional(v.record(claimPath, ClaimTest), {}),
    v.description('Claims that must have a value, or one of several.'),
  ),
  allow: v.pipe(
    v.optional(expression),
    v.description(
      'Must be true, e.g. `auth.claims["org"][0] eq "acme"`. A missing field makes it false.',
    ),
  ),
  deny: v.pipe(v.optional(expression), v.description('Must not be true; wins over `allow`.')),
  sender: v.pipe(
    v.optional(v.picklist(['dpop', 'certificate'])),
    v.description('Tokens must be bound to a key (RFC 9449) or a certificate (RFC 8705).'),
  ),
  authContext: v.pipe(
    v.optional(
      v.strictObject({
        acr: v.pipe(
          v.optional(v.pipe(v.array(v.string()), v.minLength(1))),
          v.description('Accepted authentication contexts, preferred first.'),
        ),
        amr: v.pipe(
          v.optional(v.pipe(v.array(v.string()), v.minLength(1))),
          v.description('Authentication methods that must all be there, such as "mfa".'),
        ),
        maxAge: v.pipe(
          v.optional(duration),
          v.description('Longest time since the user authenticated.'),
        ),
      }),
    ),
    v.description('How well and how lately the user must have authenticated (RFC 9470).'),
  ),
  signedUrl: v.pipe(v.optional(identifier), v.description('Signed URL scheme, by id.')),
  introspection: v.pipe(v.optional(identifier), v.description('Introspection endpoint, by id.')),
  queryToken: v.pipe(
    v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/))),
    v.description('Accept a token in this query parameter. It ends in logs elsewhere: avoid.'),
  ),
  resource: v.pipe(
    v.optional(v.pipe(v.string(), v.regex(/^\/[\x21-\x7e]*$/))),
    v.description(
      'Path of the `iam.metadata` entry that challenges name. Left out: the one for "/".',
    ),
  ),
  preflight: v.pipe(
    v.optional(v.boolean(), true),
    v.description('Let CORS preflight requests pass without credentials.'),
  ),
  forwardToken: v.pipe(
    v.optional(v.picklist(['strip', 'pass']), 'strip'),
    v.description('Whether the origin sees the credentials.'),
  ),
})

/** `routes[].auth`. */
export const RouteAuthSection = v.pipe(
  v.union(
    [v.literal('none'), RouteAuthObject],
    '"none" or an object that says what is required is expected',
  ),
  v.description('"none": anybody. Otherwise what a caller must show.'),
)
export type RouteAuthConfig = v.InferOutput<typeof RouteAuthSection>
export type RouteAuthRules = Exclude<RouteAuthConfig, 'none'>

/** `iam`. */
export const IamSection = v.pipe(
  v.strictObject({
    default: v.pipe(
      v.optional(v.picklist(['deny', 'none']), 'deny'),
      v.description('What a route without `auth` gets. deny: nobody passes. none: anybody passes.'),
    ),
    realm: v.pipe(
      v.optional(v.pipe(v.string(), v.regex(/^[\x20\x21\x23-\x5b\x5d-\x7e]{1,128}$/)), 'api'),
      v.description('The realm in challenges.'),
    ),
    publicOrigin: v.pipe(
      v.optional(origin),
      v.description(
        'Scheme and host that clients use; needed for DPoP, for resource metadata and for a login.',
      ),
    ),
    skew: v.pipe(
      v.optional(
        v.pipe(
          duration,
          v.check((ms) => ms <= 300_000, 'at most 5m'),
        ),
        '30s',
      ),
      v.description('Clock difference that is tolerated in exp, nbf and iat; at most 5m.'),
    ),
    maxTokenSize: v.pipe(v.optional(size, '8KiB'), v.description('Longest token.')),
    header: v.pipe(
      v.optional(fieldName, 'authorization'),
      v.description('Field that carries the token: `authorization` with a scheme, others bare.'),
    ),
    cookie: v.pipe(
      v.optional(cookieName),
      v.description(
        'Cookie that may carry the token. Unsafe methods then need Sec-Fetch-Site or Origin of this site.',
      ),
    ),
    issuers: v.pipe(v.optional(v.array(Issuer), []), v.description('Who issues tokens.')),
    apiKeys: v.pipe(
      v.optional(
        v.strictObject({
          header: v.pipe(v.optional(fieldName, 'x-api-key'), v.description('Field with the key.')),
          pepper: v.pipe(
            v.optional(secret),
            v.description('Secret for hashes of kind hmac-sha256; kept apart from this file.'),
          ),
          keys: v.pipe(v.array(ApiKey), v.description('The keys.')),
        }),
      ),
      v.description('API keys, hashed.'),
    ),
    signedUrls: v.pipe(v.optional(v.array(SignedUrl), []), v.description('Signed URL schemes.')),
    introspection: v.pipe(
      v.optional(v.array(Introspection), []),
      v.description('Endpoints that know opaque tokens.'),
    ),
    login: v.pipe(
      v.optional(LoginSection),
      v.description(
        'Login of browsers by OpenID Connect, for routes with the method session; needs `publicOrigin` and, on Node, the package openid-client.',
      ),
    ),
    revocations: v.pipe(
      v.optional(
        v.strictObject({
          shared: v.pipe(
            v.optional(v.boolean(), true),
            v.description(
              'With all gateways that name the same server in section `redis`. Until the list was read from it once, tokens are refused.',
            ),
          ),
          resync: v.pipe(
            v.optional(
              v.pipe(
                duration,
                v.check((ms) => ms >= 1000 && ms <= 3_600_000, 'between 1s and 1h'),
              ),
              '30s',
            ),
            v.description('How often the whole list is read, besides what is told at once.'),
          ),
        }),
      ),
      v.description('Revoked tokens. Left out: each gateway has its own.'),
    ),
    tokenCache: v.pipe(
      v.optional(
        v.strictObject({
          tokens: v.pipe(v.optional(positiveInteger, 50_000), v.description('Most tokens.')),
          size: v.pipe(v.optional(size, '64MiB'), v.description('Most memory.')),
          maxAge: v.pipe(
            v.optional(duration, '5m'),
            v.description('A token is verified again after this time.'),
          ),
        }),
        {},
      ),
      v.description('Verified tokens are remembered.'),
    ),
    failures: v.pipe(
      v.optional(
        v.strictObject({
          limit: v.pipe(v.optional(positiveInteger, 20), v.description('Failed verifications.')),
          window: v.pipe(v.optional(duration, '60s'), v.description('Within this time,')),
          block: v.pipe(
            v.optional(duration, '60s'),
            v.description('and the client is refused unseen for this time.'),
          ),
        }),
        {},
      ),
      v.description('Clients that keep sending bad signatures are refused before verification.'),
    ),
    dpop: v.pipe(
      v.optional(
        v.strictObject({
          maxAge: v.pipe(v.optional(duration, '60s'), v.description('Oldest proof.')),
          replayEntries: v.pipe(
            v.optional(positiveInteger, 200_000),
            v.description('Proofs remembered in `maxAge`; more are refused.'),
          ),
          nonceSecret: v.pipe(
            v.optional(secret),
            v.description('With it, proofs must carry a nonce of ours (RFC 9449 §9).'),
          ),
        }),
        {},
      ),
      v.description('Proof of possession (RFC 9449).'),
    ),
    certificateHeader: v.pipe(
      v.optional(fieldName),
      v.description(
        'Field in which a trusted proxy gives the SHA-256 of the client certificate, lower-case hex.',
      ),
    ),
    metadata: v.pipe(
      v.optional(
        v.array(
          v.strictObject({
            path: v.pipe(
              v.optional(v.pipe(v.string(), v.regex(/^\/[\x21-\x7e]*$/)), '/'),
              v.description('Path of the resource.'),
            ),
            authorizationServers: v.pipe(
              v.optional(v.array(httpsUrl)),
              v.description('Left out: the issuers that are https URLs.'),
            ),
            scopes: v.pipe(v.optional(v.array(scopeToken)), v.description('scopes_supported.')),
            name: v.pipe(v.optional(v.string()), v.description('resource_name.')),
            documentation: v.pipe(v.optional(httpsUrl), v.description('resource_documentation.')),
          }),
        ),
        [],
      ),
      v.description('Protected resource metadata (RFC 9728); needs `publicOrigin`.'),
    ),
    headers: v.pipe(
      v.optional(
        v.strictObject({
          prefix: v.pipe(
            v.optional(
              v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,32}-$/, 'lower case, ending in "-"')),
              'x-auth-',
            ),
            v.description('All request fields with this prefix are ours: wiped, then set.'),
          ),
          claims: v.pipe(
            v.optional(v.record(fieldName, claimPath), {}),
            v.description('More fields for origins, each from a claim.'),
          ),
        }),
        {},
      ),
      v.description('Who the caller is, for origins.'),
    ),
  }),
  v.description('Identity: who may.'),
)
export type IamConfig = v.InferOutput<typeof IamSection>
export type LoginConfig = NonNullable<IamConfig['login']>
export type IssuerConfig = IamConfig['issuers'][number]
export type ApiKeyConfig = NonNullable<IamConfig['apiKeys']>['keys'][number]
export type SignedUrlConfig = IamConfig['signedUrls'][number]
export type IntrospectionConfig = IamConfig['introspection'][number]

/** From `iam` to what identification needs: issuers with their keys, lists, places. Reports, never throws. */
import type { Report } from '../config/errors.ts'
import type { IamConfig, IssuerConfig } from '../config/sections/iam.ts'
import type { SecretRef } from '../config/values.ts'
import type {
  Clock,
  KeySource,
  Logger,
  OpenIdClientOptions,
  OpenIdProvider,
  Random,
} from '../ports.ts'
import { utf8 } from './encoding.ts'
import { Introspector } from './introspection.ts'
import { examineKeys, KeySet, parseKeySet, secretKey } from './key-set.ts'
import { type KeyStore, RemoteKeys, StaticKeys } from './key-store.ts'
import { compileSignedUrls, type SignedUrls } from './signed-url/index.ts'
import type { Issuer } from './verify.ts'

export interface IdentityPorts {
  readonly clock: Clock
  readonly random: Random
  readonly keys: KeySource
  readonly log?: Logger | undefined
  /** The text of a secret, or undefined when it is not set. */
  secret(ref: SecretRef): string | undefined
  /** The text of a file, or undefined when it cannot be read. */
  file(path: string): string | undefined
  readonly report: Report
  /** Undefined where there is no login, or no library for one. */
  readonly openId?: ((options: OpenIdClientOptions) => OpenIdProvider) | undefined
}

const ASYMMETRIC = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']

/** By the exact value of `iss`. */
export function compileIssuers(config: IamConfig, ports: IdentityPorts): Map<string, Issuer> {
  const issuers = new Map<string, Issuer>()
  const ids = new Set<string>()
  for (const [i, entry] of config.issuers.entries()) {
    const path = `iam.issuers[${i}]`
    if (issuers.has(entry.issuer)) {
      ports.report(`${path}.issuer`, `there are two issuers "${entry.issuer}"`)
    }
    if (ids.has(entry.id)) ports.report(`${path}.id`, `there are two issuers with id "${entry.id}"`)
    ids.add(entry.id)
    const issuer = compileIssuer(entry, path, config, ports)
    if (issuer !== undefined) issuers.set(entry.issuer, issuer)
  }
  return issuers
}

function compileIssuer(
  entry: IssuerConfig,
  path: string,
  config: IamConfig,
  ports: IdentityPorts,
): Issuer | undefined {
  const { report } = ports
  const isSecret = entry.secret !== undefined
  const algorithms: string[] = entry.algorithms ?? (isSecret ? ['HS256'] : ASYMMETRIC)
  for (const algorithm of algorithms) {
    if (algorithm.startsWith('HS') === isSecret) continue
    report(
      `${path}.algorithms`,
      isSecret
        ? `${algorithm} does not work with a shared secret`
        : `${algorithm} needs \`secret\`, not public keys`,
      'one issuer has either public keys or a shared secret: mixing them invites key confusion',
    )
    return undefined
  }
  const keys = compileKeys(entry, path, algorithms, ports)
  if (keys === undefined) return undefined
  return {
    id: entry.id,
    url: entry.issuer,
    keys,
    algorithms,
    types: (entry.types ?? ['at+jwt']).map((type) => type?.toLowerCase() ?? null),
    rules: {
      issuer: entry.issuer,
      skew: config.skew / 1000,
      maxLifetime: entry.maxLifetime / 1000,
      isRfc9068: entry.profile === 'rfc9068',
    },
    map: entry.map,
  }
}

function compileKeys(
  entry: IssuerConfig,
  path: string,
  algorithms: readonly string[],
  ports: IdentityPorts,
): KeyStore | undefined {
  const { report, log } = ports
  if ((entry.secret === undefined) === (entry.jwks === undefined)) {
    report(path, 'an issuer has either `jwks` or `secret`')
    return undefined
  }
  if (entry.secret !== undefined) {
    const text = secretText(entry.secret, `${path}.secret`, ports)
    const key = text === undefined ? undefined : secretKey(text, algorithms)
    if (typeof key === 'string') report(`${path}.secret`, key)
    return typeof key === 'object' ? new StaticKeys(new KeySet([key])) : undefined
  }
  const { jwks } = entry
  if (jwks === undefined) return undefined
  if ('keys' in jwks) {
    const { set, problems } = examineKeys(jwks.keys)
    for (const { index, problem } of problems) report(`${path}.jwks.keys[${index}]`, problem)
    return new StaticKeys(set)
  }
  if ('file' in jwks) {
    const set = keySetFile(jwks.file, `${path}.jwks.file`, ports)
    return set === undefined ? undefined : new StaticKeys(set)
  }
  const bootstrap =
    jwks.bootstrap === undefined
      ? undefined
      : keySetFile(jwks.bootstrap, `${path}.jwks.bootstrap`, ports)
  return new RemoteKeys({
    url: jwks.url,
    ttlMs: jwks.ttl,
    maxStaleMs: jwks.maxStale,
    cooldownMs: jwks.cooldown,
    bootstrap,
    source: ports.keys,
    clock: ports.clock,
    random: ports.random,
    onRefresh: (outcome, detail, problems) => {
      const fields = { issuer: entry.id, detail, refused: problems.map(({ problem }) => problem) }
      if (outcome === 'failed') log?.warn('key set refresh failed', fields)
      else if (problems.length > 0) log?.warn('key set has keys that are not used', fields)
    },
  })
}

function keySetFile(file: string, path: string, ports: IdentityPorts): KeySet | undefined {
  const text = ports.file(file)
  if (text === undefined) {
    ports.report(path, `the file "${file}" cannot be read`)
    return undefined
  }
  const parsed = parseKeySet(utf8(text))
  if (parsed === undefined) {
    ports.report(path, `"${file}" is not a JWK set`)
    return undefined
  }
  for (const { index, problem } of parsed.problems) ports.report(path, `key ${index}: ${problem}`)
  return parsed.set
}

export function secretText(ref: SecretRef, path: string, ports: IdentityPorts): string | undefined {
  const text = ports.secret(ref)
  if (text === undefined || text === '') {
    const name = 'env' in ref ? `the environment variable ${ref.env}` : `the file "${ref.file}"`
    ports.report(path, `${name} is not set or empty`)
    return undefined
  }
  return text
}

export function compileSignedUrlSchemes(
  config: IamConfig,
  ports: IdentityPorts,
): Map<string, SignedUrls> {
  const schemes = new Map<string, SignedUrls>()
  for (const [i, entry] of config.signedUrls.entries()) {
    const path = `iam.signedUrls[${i}]`
    if (schemes.has(entry.id)) ports.report(`${path}.id`, `there are two schemes "${entry.id}"`)
    const keys = entry.keys.flatMap(({ id, secret }, k) => {
      const text = secretText(secret, `${path}.keys[${k}].secret`, ports)
      return text === undefined ? [] : [{ id, secret: text }]
    })
    try {
      schemes.set(entry.id, compileSignedUrls(entry.type, keys, entry.lifetime, entry.parameter))
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      ports.report(`${path}.keys`, error.message)
    }
  }
  return schemes
}

export function compileIntrospectors(
  config: IamConfig,
  ports: IdentityPorts,
): Map<string, Introspector> {
  const introspectors = new Map<string, Introspector>()
  for (const [i, entry] of config.introspection.entries()) {
    const path = `iam.introspection[${i}]`
    const clientSecret = secretText(entry.clientSecret, `${path}.clientSecret`, ports)
    if (clientSecret === undefined) continue
    introspectors.set(
      entry.id,
      new Introspector({
        url: entry.url,
        clientId: entry.clientId,
        clientSecret,
        ttlMs: entry.ttl,
        timeoutMs: entry.timeout,
        staleMs: entry.stale,
        source: ports.keys,
        clock: ports.clock,
      }),
    )
  }
  return introspectors
}

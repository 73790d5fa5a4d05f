/**
 * API keys: `mk_<id>_<secret><check>`. The id finds the entry, the secret proves it, the check lets a typo or
 * a truncated copy be told without a look-up, and secret scanners find real keys only. Stored is a hash of
 * the secret: 32 random bytes need no slow hash. A pepper makes a stolen config useless for guessing, too.
 */
import type { ApiKeyConfig } from '../config/sections/iam.ts'
import type { IpAddress, Principal, Seconds } from '../exchange.ts'
import { hmacSha256, sha256 } from '../expression/sha256.ts'
import { CidrSet } from '../http/cidr.ts'
import { decodeHex, encodeBase64Url, encodeHex, isBase64Url, isEqual, utf8 } from './encoding.ts'

const PREFIX = 'mk_'
const SECRET_LENGTH = 43
const CHECK_LENGTH = 6
const ID = /^[A-Za-z0-9]{4,32}$/

interface Entry {
  readonly hashes: readonly { readonly isPeppered: boolean; readonly digest: Uint8Array }[]
  readonly principal: Principal
  readonly expiresAt: Seconds
  readonly addresses: CidrSet | undefined
}

/** Compared against when the id is unknown, so that this costs the same. */
const NOBODY: Entry['hashes'] = [{ isPeppered: false, digest: new Uint8Array(32) }]

export class ApiKeys {
  readonly #entries = new Map<string, Entry>()
  readonly #pepper: Uint8Array | undefined

  constructor(configs: readonly ApiKeyConfig[], pepper: string | undefined) {
    this.#pepper = pepper === undefined ? undefined : utf8(pepper)
    for (const config of configs) {
      this.#entries.set(config.id, {
        hashes: config.hashes.map((hash) => ({
          isPeppered: hash.startsWith('hmac-'),
          // The schema has seen to the digits.
          digest: decodeHex(hash.slice(hash.indexOf(':') + 1)) ?? new Uint8Array(32),
        })),
        principal: principalOf(config),
        expiresAt:
          config.expires === undefined
            ? Number.POSITIVE_INFINITY
            : Date.parse(config.expires) / 1000,
        addresses: config.addresses === undefined ? undefined : CidrSet.of(config.addresses),
      })
    }
  }

  /** The caller, or undefined: a client is not told whether the id, the secret or the address was wrong. */
  identify(key: string, ip: IpAddress | undefined, now: Seconds): Principal | undefined {
    const parts = splitKey(key)
    if (parts === undefined) return undefined
    const entry = this.#entries.get(parts.id)
    const secret = utf8(parts.secret)
    let matches = false
    for (const { isPeppered, digest } of entry?.hashes ?? NOBODY) {
      const own = isPeppered ? hmacSha256(this.#pepper ?? NO_PEPPER, secret) : sha256(secret)
      if (isEqual(own, digest)) matches = true
    }
    if (entry === undefined || !matches || now >= entry.expiresAt) return undefined
    if (entry.addresses !== undefined && !entry.addresses.contains(ip)) return undefined
    return entry.principal
  }
}

const NO_PEPPER = new Uint8Array(32)

function principalOf(config: ApiKeyConfig): Principal {
  return Object.freeze({
    kind: 'api-key',
    subject: config.subject ?? config.id,
    issuer: null,
    scopes: Object.freeze([...config.scopes]),
    roles: Object.freeze([...config.roles]),
    tenant: config.tenant,
    clientId: config.id,
    claims: Object.freeze({ ...config.claims }),
  })
}

function splitKey(key: string): { id: string; secret: string } | undefined {
  const end = key.indexOf('_', PREFIX.length)
  if (!key.startsWith(PREFIX) || end < 0) return undefined
  const id = key.slice(PREFIX.length, end)
  const rest = key.slice(end + 1)
  if (!ID.test(id) || rest.length !== SECRET_LENGTH + CHECK_LENGTH) return undefined
  const secret = rest.slice(0, SECRET_LENGTH)
  if (!isBase64Url(secret, 0, SECRET_LENGTH)) return undefined
  return rest.slice(SECRET_LENGTH) === check(id, secret) ? { id, secret } : undefined
}

/** A key's entry for the config, or undefined when the text is not a whole key. */
export function apiKeyEntry(
  key: string,
  pepper?: string,
): { readonly id: string; readonly hashes: string[] } | undefined {
  const parts = splitKey(key)
  return parts && { id: parts.id, hashes: [hashOf(parts.secret, pepper)] }
}

function hashOf(secret: string, pepper: string | undefined): string {
  return pepper === undefined
    ? `sha256:${encodeHex(sha256(utf8(secret)))}`
    : `hmac-sha256:${encodeHex(hmacSha256(utf8(pepper), utf8(secret)))}`
}

/** What `meridian key create` shows: the key once, for its owner, and the entry for the config. */
export function createApiKey(
  id: string,
  random: Uint8Array,
  pepper?: string,
): { readonly key: string; readonly entry: { readonly id: string; readonly hashes: string[] } } {
  if (!ID.test(id)) throw new RangeError('a key id has 4 to 32 letters and digits')
  if (random.length !== 32) throw new RangeError('a secret has 32 random bytes')
  const secret = encodeBase64Url(random)
  return {
    key: `${PREFIX}${id}_${secret}${check(id, secret)}`,
    entry: { id, hashes: [hashOf(secret, pepper)] },
  }
}

/** CRC-32 (ISO 3309) of id and secret, in base64url. */
function check(id: string, secret: string): string {
  let crc = 0xffffffff
  for (const byte of utf8(`${id}_${secret}`)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  const value = ~crc
  return encodeBase64Url(
    Uint8Array.of((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255),
  )
}

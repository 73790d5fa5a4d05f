/**
 * Alibaba Cloud CDN's URL signing, types A, B and C, for links that exist already. MD5 over path, time and
 * key; type B writes its time in UTC+8.
 */
import type { Seconds } from '../../exchange.ts'
import { parameters, withoutParameters } from '../credentials.ts'
import { encodeHex, isEqual, utf8 } from '../encoding.ts'
import type { SchemeOptions, SignedUrls, UrlKey, UrlVerdict } from './index.ts'
import { md5 } from './md5.ts'

type Type = 'alibaba-a' | 'alibaba-b' | 'alibaba-c'

const CHINA_OFFSET: Seconds = 8 * 3600
const DIGEST = /^[0-9a-f]{32}$/

/** What a URL of any of the three types says. */
interface Claim {
  readonly issuedAt: Seconds
  readonly digest: string
  /** The text that was hashed, for a key. */
  readonly text: (secret: string) => string
  readonly path: string
  readonly query: string
}

export function alibaba(type: Type, { keys, lifetime, parameter }: SchemeOptions): SignedUrls {
  const name = parameter ?? 'auth_key'
  const read = { 'alibaba-a': readA, 'alibaba-b': readB, 'alibaba-c': readC }[type]
  return {
    check({ target }, now): UrlVerdict {
      const claim = read(target.path, target.query, name)
      if (claim === undefined) return 'absent'
      const key = keys.find((candidate) => isMade(claim, candidate))
      if (key === undefined) return 'url_signature_invalid'
      const expiresAt = claim.issuedAt + lifetime
      if (now >= expiresAt) return 'signature_expired'
      return { keyId: key.id, path: claim.path, query: claim.query, expiresAt }
    },
  }
}

function isMade(claim: Claim, key: UrlKey): boolean {
  const own = encodeHex(md5(utf8(claim.text(key.secret))))
  return isEqual(utf8(own), utf8(claim.digest))
}

/** `?auth_key=<time>-<random>-<user>-<digest>` */
function readA(path: string, query: string, name: string): Claim | undefined {
  const values = [...parameters(query, name)]
  const parts = (values[0] ?? '').split('-')
  if (values.length !== 1 || parts.length !== 4) return undefined
  const [time, random, user, digest] = parts as [string, string, string, string]
  if (!/^[0-9]{10}$/.test(time) || !DIGEST.test(digest)) return undefined
  return {
    issuedAt: Number(time),
    digest,
    text: (secret) => `${path}-${time}-${random}-${user}-${secret}`,
    path,
    query: withoutParameters(query, [name]),
  }
}

/** `/<YYYYMMDDHHMM>/<digest>/path` */
function readB(path: string, query: string): Claim | undefined {
  const match = /^\/([0-9]{12})\/([0-9a-f]{32})(\/.*)$/.exec(path)
  if (match === null) return undefined
  const [, time, digest, rest] = match as unknown as [string, string, string, string]
  const field = (start: number, end: number) => Number(time.slice(start, end))
  const utc = Date.UTC(field(0, 4), field(4, 6) - 1, field(6, 8), field(8, 10), field(10, 12))
  return {
    issuedAt: utc / 1000 - CHINA_OFFSET,
    digest,
    text: (secret) => secret + time + rest,
    path: rest,
    query,
  }
}

/** `/<digest>/<hexadecimal time>/path`, or `?KEY1=<digest>&KEY2=<hexadecimal time>` */
function readC(path: string, query: string): Claim | undefined {
  const match = /^\/([0-9a-f]{32})\/([0-9a-fA-F]{8})(\/.*)$/.exec(path)
  if (match !== null) {
    const [, digest, time, rest] = match as unknown as [string, string, string, string]
    return claimC(digest, time, rest, query)
  }
  const digests = [...parameters(query, 'KEY1')]
  const times = [...parameters(query, 'KEY2')]
  const [digest] = digests
  const [time] = times
  if (digest === undefined || time === undefined) return undefined
  if (digests.length + times.length !== 2) return undefined
  if (!DIGEST.test(digest) || !/^[0-9a-fA-F]{8}$/.test(time)) return undefined
  return claimC(digest, time, path, withoutParameters(query, ['KEY1', 'KEY2']))
}

function claimC(digest: string, time: string, path: string, query: string): Claim {
  return {
    issuedAt: Number.parseInt(time, 16),
    digest,
    text: (secret) => secret + path + time,
    path,
    query,
  }
}

/** Signed URLs: one scheme of `iam.signedUrls`, whichever way it signs. */
import type { SignedUrlConfig } from '../../config/sections/iam.ts'
import type { Client, Millis, Seconds, Target } from '../../exchange.ts'
import { alibaba } from './alibaba.ts'
import { cloudflare } from './cloudflare.ts'
import { cloudfront } from './cloudfront.ts'
import { meridian } from './meridian.ts'

/** What is signed, and by whom it is sent. */
export interface SignedRequest {
  readonly method: string
  readonly scheme: string
  readonly host: string
  readonly authority: string
  readonly target: Target
  readonly client: Client
}

/** A good URL: its key's id, and what is left of it for the cache and the origin. */
export interface GoodUrl {
  readonly keyId: string
  readonly path: string
  /** Query without the signature's own parameters. */
  readonly query: string
  readonly expiresAt: Seconds
}

export type UrlVerdict = GoodUrl | 'absent' | 'signature_expired' | 'url_signature_invalid'

export interface SignedUrls {
  check(request: SignedRequest, now: Seconds): UrlVerdict | Promise<UrlVerdict>
}

/** A key with its secret resolved. */
export interface UrlKey {
  readonly id: string
  readonly secret: string
}

export interface SchemeOptions {
  readonly keys: readonly UrlKey[]
  readonly lifetime: Seconds
  readonly parameter: string | undefined
}

/** @throws RangeError when a key is not what the scheme needs */
export function compileSignedUrls(
  type: SignedUrlConfig['type'],
  keys: readonly UrlKey[],
  lifetimeMs: Millis,
  parameter: string | undefined,
): SignedUrls {
  const options: SchemeOptions = { keys, lifetime: Math.floor(lifetimeMs / 1000), parameter }
  switch (type) {
    case 'meridian':
      return meridian(options)
    case 'alibaba-a':
    case 'alibaba-b':
    case 'alibaba-c':
      return alibaba(type, options)
    case 'cloudflare':
      return cloudflare(options)
    case 'cloudfront':
      return cloudfront(options)
  }
}

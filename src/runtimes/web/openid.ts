/**
 * OpenID Connect by `openid-client`, which is not a dependency: it is loaded when a config has a login. All it
 * asks of a provider goes through the port that fetches key sets: in time, bounded, without redirects.
 */
import type * as Client from 'openid-client'
import {
  type KeySource,
  type OpenIdClientOptions,
  OpenIdError,
  type OpenIdGrant,
  type OpenIdLibrary,
  type OpenIdProvider,
} from '../../ports.ts'

type Library = typeof Client

/** How long metadata is good. */
const FRESH_MS = 3_600_000
/** How long it serves on while the provider does not answer. */
const STALE_MS = 86_400_000
/** After a failure, how long the provider is left alone. */
const PAUSE_MS = 1000

export const openId: OpenIdLibrary = {
  async load() {
    let library: Library
    try {
      library = await import('openid-client')
    } catch (error) {
      throw new Error(
        'a login needs the package openid-client 6: run `npm install openid-client@6`',
        { cause: error },
      )
    }
    return (options) => new Provider(library, options)
  },
}

class Provider implements OpenIdProvider {
  readonly #library: Library
  readonly #options: OpenIdClientOptions
  #known: { readonly config: Client.Configuration; readonly at: number } | undefined
  #pending: Promise<Client.Configuration> | undefined
  #failedAt = Number.NEGATIVE_INFINITY

  constructor(library: Library, options: OpenIdClientOptions) {
    this.#library = library
    this.#options = options
  }

  authorizationUrl(parameters: Readonly<Record<string, string>>): Promise<string> {
    return this.#with(
      async (config) => this.#library.buildAuthorizationUrl(config, { ...parameters }).href,
    )
  }

  redeem(
    callback: string,
    { state, nonce, verifier }: { state: string; nonce: string; verifier: string },
  ): Promise<OpenIdGrant> {
    return this.#with(async (config) =>
      grantOf(
        await this.#library.authorizationCodeGrant(config, new URL(callback), {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: verifier,
          idTokenExpected: true,
        }),
      ),
    )
  }

  refresh(refreshToken: string): Promise<OpenIdGrant> {
    return this.#with(async (config) =>
      grantOf(await this.#library.refreshTokenGrant(config, refreshToken)),
    )
  }

  revoke(refreshToken: string): Promise<void> {
    return this.#with(async (config) => {
      if (config.serverMetadata().revocation_endpoint === undefined) return
      await this.#library.tokenRevocation(config, refreshToken, {
        token_type_hint: 'refresh_token',
      })
    })
  }

  logoutUrl(parameters: Readonly<Record<string, string>>): Promise<string | undefined> {
    return this.#with(async (config) =>
      config.serverMetadata().end_session_endpoint === undefined
        ? undefined
        : this.#library.buildEndSessionUrl(config, { ...parameters }).href,
    )
  }

  async #with<T>(use: (config: Client.Configuration) => Promise<T>): Promise<T> {
    try {
      return await use(await this.#configuration())
    } catch (error) {
      throw this.#errorOf(error)
    }
  }

  async #configuration(): Promise<Client.Configuration> {
    const { clock } = this.#options
    const now = clock.monotonic()
    const known = this.#known
    if (known !== undefined && now - known.at < FRESH_MS) return known.config
    const isUsable = known !== undefined && now - known.at < STALE_MS
    if (now - this.#failedAt < PAUSE_MS) {
      if (isUsable) return known.config
      throw new OpenIdError('unavailable', 'the provider did not answer a moment ago')
    }
    this.#pending ??= this.#discover().finally(() => {
      this.#pending = undefined
    })
    try {
      const config = await this.#pending
      this.#known = { config, at: clock.monotonic() }
      return config
    } catch (error) {
      this.#failedAt = clock.monotonic()
      if (isUsable) return known.config
      throw this.#discoveryError(error)
    }
  }

  /** Metadata that does not hold is the provider's failure, not the browser's. */
  #discoveryError(error: unknown): OpenIdError {
    const { kind, message } = this.#errorOf(error)
    return new OpenIdError('unavailable', `its metadata: ${message} (${kind})`, { cause: error })
  }

  async #discover(): Promise<Client.Configuration> {
    const library = this.#library
    const { issuer, clientId, clientSecret, authentication, skew, keys } = this.#options
    const config = await library.discovery(
      new URL(issuer),
      clientId,
      { [library.clockTolerance]: skew },
      clientSecret === undefined
        ? library.None()
        : authentication === 'post'
          ? library.ClientSecretPost(clientSecret)
          : library.ClientSecretBasic(clientSecret),
      {
        [library.customFetch]: fetchBy(keys),
        // The schema permits http to this machine alone.
        execute: issuer.startsWith('http:') ? [library.allowInsecureRequests] : [],
      },
    )
    if (config.serverMetadata().issuer !== issuer) {
      throw new OpenIdError('invalid', `it names itself "${config.serverMetadata().issuer}"`)
    }
    library.enableNonRepudiationChecks(config)
    return config
  }

  #errorOf(error: unknown): OpenIdError {
    if (error instanceof OpenIdError) return error
    const { ResponseBodyError, AuthorizationResponseError, ClientError } = this.#library
    const options = { cause: error }
    if (error instanceof ResponseBodyError) {
      const kind = error.status >= 500 ? 'unavailable' : 'refused'
      return new OpenIdError(kind, `it answered ${error.status} ${error.error}`, options)
    }
    if (error instanceof AuthorizationResponseError) {
      return new OpenIdError('refused', `it sent the browser back with ${error.error}`, options)
    }
    if (error instanceof ClientError) {
      const { cause } = error
      if (cause instanceof Unreachable) {
        return new OpenIdError('unavailable', cause.message, options)
      }
      if (cause instanceof Response && (cause.status >= 500 || cause.status === 429)) {
        return new OpenIdError('unavailable', `it answered ${cause.status}`, options)
      }
      return new OpenIdError('invalid', `${error.message} (${error.code})`, options)
    }
    return new OpenIdError('invalid', error instanceof Error ? error.message : 'failed', options)
  }
}

/** Nothing came back. */
class Unreachable extends Error {
  override readonly name = 'Unreachable'
}

function fetchBy(keys: KeySource): Client.CustomFetch {
  return async (url, { method, headers, body }) => {
    let answer: Awaited<ReturnType<KeySource['fetch']>>
    try {
      answer = await keys.fetch(url, {
        method,
        headers: Object.fromEntries(new Headers(headers as HeadersInit).entries()),
        ...(body == null ? {} : { body: textOf(body) }),
      })
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      throw new Unreachable(`${new URL(url).host} cannot be reached: ${detail}`, { cause: error })
    }
    const hasBody = answer.status !== 204 && answer.status !== 304
    return new Response(hasBody ? new Uint8Array(answer.body) : null, {
      status: answer.status,
      headers: answer.headers,
    })
  }
}

/** The library sends forms; nothing else is asked of it here. */
function textOf(body: unknown): string {
  if (typeof body === 'string' || body instanceof URLSearchParams) return body.toString()
  throw new TypeError('a form is expected')
}

function grantOf(
  tokens: Client.TokenEndpointResponse & Client.TokenEndpointResponseHelpers,
): OpenIdGrant {
  return {
    claims: tokens.claims(),
    idToken: tokens.id_token,
    refreshToken: tokens.refresh_token,
    accessLifetime: tokens.expiresIn(),
    scope: tokens.scope,
  }
}

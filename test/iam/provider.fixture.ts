/**
 * A small OpenID provider over a real socket: discovery, keys, authorization code with PKCE, refresh tokens
 * that rotate and are taken from whoever uses one twice, revocation, logout. It logs everybody in as its user.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { HttpOrigin } from '../harness/origin.ts'

interface Grant {
  readonly nonce: string
  readonly challenge: string
  readonly redirectUri: string
}

export const CLIENT = { id: 'web', secret: 'client secret with: odd/characters' }

export class Provider {
  readonly origin: HttpOrigin
  /** What it does otherwise than it should. */
  readonly faults: {
    nonce?: string
    tokenIssuer?: string
    responseIssuer?: string
    tokenStatus?: number
    wrongKey?: boolean
    deny?: boolean
  } = {}
  /** Claims of the user, besides the protocol's. */
  user: Record<string, unknown> = { sub: 'alice', roles: ['admin', 'ops'], org: 'acme' }
  accessLifetime = 3600
  refreshes = 0
  /** Authorization requests, by parameter. */
  readonly authorizations: URLSearchParams[] = []
  readonly revoked: string[] = []
  readonly #codes = new Map<string, Grant>()
  readonly #refreshTokens = new Set<string>()
  #keys: Awaited<ReturnType<typeof generateKeyPair>>
  #otherKeys: Awaited<ReturnType<typeof generateKeyPair>>

  private constructor(
    origin: HttpOrigin,
    keys: Awaited<ReturnType<typeof generateKeyPair>>,
    otherKeys: Awaited<ReturnType<typeof generateKeyPair>>,
  ) {
    this.origin = origin
    this.#keys = keys
    this.#otherKeys = otherKeys
  }

  static async start(): Promise<Provider> {
    let provider: Provider | undefined
    const origin = await HttpOrigin.start((request, response) => {
      provider?.answer(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error))
      })
    })
    const keys = () => generateKeyPair('ES256', { extractable: true })
    provider = new Provider(origin, await keys(), await keys())
    return provider
  }

  get issuer(): string {
    return this.origin.url
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.issuer)
    const json = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        json(200, {
          issuer: this.issuer,
          authorization_endpoint: `${this.issuer}/authorize`,
          token_endpoint: `${this.issuer}/token`,
          jwks_uri: `${this.issuer}/jwks`,
          revocation_endpoint: `${this.issuer}/revoke`,
          end_session_endpoint: `${this.issuer}/logout`,
          id_token_signing_alg_values_supported: ['ES256'],
          authorization_response_iss_parameter_supported: true,
        })
        return
      case '/jwks': {
        const jwk = await exportJWK(this.#keys.publicKey)
        json(200, { keys: [{ ...jwk, kid: 'k1', alg: 'ES256', use: 'sig' }] })
        return
      }
      case '/authorize':
        this.#authorize(url.searchParams, response)
        return
      case '/token':
        await this.#token(request, json)
        return
      case '/revoke':
        this.revoked.push((await formOf(request)).get('token') ?? '')
        response.writeHead(200).end()
        return
      default:
        response.writeHead(404).end()
    }
  }

  #authorize(asked: URLSearchParams, response: ServerResponse): void {
    this.authorizations.push(asked)
    const redirectUri = asked.get('redirect_uri') ?? ''
    const back = new URL(redirectUri)
    back.searchParams.set('state', asked.get('state') ?? '')
    back.searchParams.set('iss', this.faults.responseIssuer ?? this.issuer)
    if (this.faults.deny) {
      back.searchParams.set('error', 'access_denied')
    } else {
      const code = randomBytes(16).toString('hex')
      back.searchParams.set('code', code)
      this.#codes.set(code, {
        nonce: this.faults.nonce ?? asked.get('nonce') ?? '',
        challenge: asked.get('code_challenge') ?? '',
        redirectUri,
      })
    }
    response.writeHead(302, { location: back.href }).end()
  }

  async #token(
    request: IncomingMessage,
    json: (status: number, body: object) => unknown,
  ): Promise<void> {
    const form = await formOf(request)
    if (this.faults.tokenStatus !== undefined) {
      json(this.faults.tokenStatus, { error: 'server_error' })
      return
    }
    const basic = Buffer.from(
      (request.headers.authorization ?? '').replace('Basic ', ''),
      'base64',
    ).toString()
    const [id, secret] = basic
      .split(':')
      .map((part) => decodeURIComponent(part.replace(/\+/g, ' ')))
    if (id !== CLIENT.id || secret !== CLIENT.secret) {
      json(401, { error: 'invalid_client' })
      return
    }
    let nonce: string | undefined
    if (form.get('grant_type') === 'refresh_token') {
      if (!this.#refreshTokens.delete(form.get('refresh_token') ?? '')) {
        json(400, { error: 'invalid_grant' })
        return
      }
      this.refreshes++
    } else {
      const code = form.get('code') ?? ''
      const grant = this.#codes.get(code)
      this.#codes.delete(code)
      const verifier = form.get('code_verifier') ?? ''
      const challenge = createHash('sha256').update(verifier).digest('base64url')
      if (grant?.challenge !== challenge || grant.redirectUri !== form.get('redirect_uri')) {
        json(400, { error: 'invalid_grant' })
        return
      }
      nonce = grant.nonce
    }
    const refreshToken = randomBytes(16).toString('hex')
    this.#refreshTokens.add(refreshToken)
    const keys = this.faults.wrongKey ? this.#otherKeys : this.#keys
    const idToken = await new SignJWT({ ...this.user, ...(nonce !== undefined && { nonce }) })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(this.faults.tokenIssuer ?? this.issuer)
      .setAudience(CLIENT.id)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(keys.privateKey)
    json(200, {
      access_token: randomBytes(8).toString('hex'),
      token_type: 'Bearer',
      expires_in: this.accessLifetime,
      refresh_token: refreshToken,
      id_token: idToken,
      scope: 'openid orders:read',
    })
  }
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return new URLSearchParams(text)
}

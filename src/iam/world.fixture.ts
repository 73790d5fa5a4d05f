/** An issuer, a clock and requests for the tests of identity. No network, no real time. */
import * as v from 'valibot'
import { IamSection, RouteAuthSection } from '../config/sections/iam.ts'
import { Exchange, HeaderList, type Principal, type TlsInfo } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import type { Clock, KeySource, Random } from '../ports.ts'
import { Denied } from './denied.ts'
import { encodeBase64Url, utf8 } from './encoding.ts'
import { type Identified, Identity, type IdentityOptions } from './identity.ts'
import type { RouteAuth } from './route-auth.ts'

/** Seconds since the epoch: the time at which every test begins. */
export const NOW = 2_000_000_000

export class FakeClock implements Clock {
  ms = 0
  readonly #timers = new Set<{ at: number; run: () => void }>()

  now(): number {
    return NOW * 1000 + this.ms
  }

  monotonic(): number {
    return this.ms
  }

  after(delay: number, run: () => void): () => void {
    const timer = { at: this.ms + delay, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  advance(ms: number): void {
    this.ms += ms
    for (const timer of this.#timers) {
      if (timer.at > this.ms) continue
      this.#timers.delete(timer)
      timer.run()
    }
  }

  get timers(): number {
    return this.#timers.size
  }
}

export interface Answer {
  status?: number
  headers?: Record<string, string>
  body?: unknown
}

/** A scripted server: `answer` may be a reply, an error, or `hang`. */
export class FakeSource implements KeySource {
  fetches: { url: string; body: string | undefined; headers: Record<string, string> }[] = []
  answer: Answer | Error | 'hang' = { body: { keys: [] } }

  async fetch(url: string, init: Parameters<KeySource['fetch']>[1] = {}) {
    this.fetches.push({ url, body: init.body, headers: init.headers ?? {} })
    const { answer } = this
    if (answer === 'hang') return new Promise<never>(() => {})
    if (answer instanceof Error) throw answer
    const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
    return { status: answer.status ?? 200, headers: answer.headers ?? {}, body: utf8(body) }
  }
}

export const random: Random = {
  next: () => 0.5,
  bytes: (count) => Uint8Array.from({ length: count }, (_, i) => i),
}

export interface Signer {
  readonly algorithm: string
  readonly jwk: Record<string, unknown>
  sign(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array>
}

const ALGORITHMS = {
  ES256: [
    { name: 'ECDSA', namedCurve: 'P-256' },
    { name: 'ECDSA', hash: 'SHA-256' },
  ],
  RS256: [
    {
      name: 'RSASSA-PKCS1-v1_5',
      hash: 'SHA-256',
      modulusLength: 2048,
      publicExponent: Uint8Array.of(1, 0, 1),
    },
    { name: 'RSASSA-PKCS1-v1_5' },
  ],
  EdDSA: [{ name: 'Ed25519' }, { name: 'Ed25519' }],
} as const

export async function signer(
  algorithm: keyof typeof ALGORITHMS,
  kid: string | undefined,
): Promise<Signer> {
  const [generation, use] = ALGORITHMS[algorithm]
  const pair = (await crypto.subtle.generateKey(generation, true, [
    'sign',
    'verify',
  ])) as CryptoKeyPair
  const exported = (await crypto.subtle.exportKey('jwk', pair.publicKey)) as Record<string, unknown>
  const { kty, crv, x, y, n, e } = exported
  const members = Object.entries({ kid, kty, crv, x, y, n, e }).filter(([, value]) => value)
  return {
    algorithm,
    jwk: Object.fromEntries(members),
    sign: async (data) => new Uint8Array(await crypto.subtle.sign(use, pair.privateKey, data)),
  }
}

/** Header and payload as given: objects, or texts that JSON would not write. */
export async function rawToken(
  header: object | string,
  payload: object | string | Uint8Array,
  by: Signer | ((data: Uint8Array<ArrayBuffer>) => Promise<Uint8Array> | Uint8Array),
): Promise<string> {
  const segment = (value: object | string | Uint8Array) =>
    value instanceof Uint8Array
      ? encodeBase64Url(value)
      : encodeBase64Url(utf8(typeof value === 'string' ? value : JSON.stringify(value)))
  const input = `${segment(header)}.${segment(payload)}`
  const sign = typeof by === 'function' ? by : by.sign
  return `${input}.${encodeBase64Url(await sign(utf8(input)))}`
}

export interface RequestOptions {
  method?: string
  path?: string
  query?: string
  host?: string
  ip?: string
  headers?: string[]
  token?: string
  tls?: TlsInfo
  viaTrustedProxy?: boolean
}

export function request(options: RequestOptions = {}): Exchange {
  const path = options.path ?? '/v1/orders'
  const query = options.query ?? ''
  const ip = parseIp(options.ip ?? '192.0.2.1')
  const headers = options.headers ?? []
  const host = options.host ?? 'api.example.com'
  return new Exchange({
    id: 'test',
    startedAt: 0,
    method: options.method ?? 'GET',
    scheme: 'https',
    httpVersion: '1.1',
    authority: host,
    host,
    target: { raw: path, path, query, pathAndQuery: query === '' ? path : `${path}?${query}` },
    headers: new HeaderList(
      options.token === undefined
        ? headers
        : [...headers, 'Authorization', `Bearer ${options.token}`],
    ),
    client: {
      ip,
      port: 1,
      peer: ip,
      viaTrustedProxy: options.viaTrustedProxy ?? false,
      tls: options.tls ?? null,
    },
    body: null,
  })
}

export const SECRETS: Record<string, string> = {
  HS: 'not a published sample, and long enough for it',
  URL: 'another secret of more than thirty-two bytes',
  URL2: 'the spare secret, also of thirty-two bytes',
  PEPPER: 'pepper',
  CLIENT: 'client:secret',
  NONCE: 'nonce secret',
}

/** `200` with who it is, or `401 reason`. */
export function shown(result: Identified): string {
  return result instanceof Denied
    ? `${result.status} ${result.reason}`
    : `200 ${(result as Principal).kind} ${(result as Principal).subject}`.trim()
}

export interface World {
  clock: FakeClock
  source: FakeSource
  identity: Identity
  problems: string[]
  route(auth: unknown): RouteAuth
  /** Identifies on a route; the result as text. */
  ask(route: RouteAuth, options: RequestOptions): Promise<string>
}

export function world(config: unknown, more: Partial<IdentityOptions> = {}): World {
  const clock = (more.clock as FakeClock | undefined) ?? new FakeClock()
  const source = (more.keys as FakeSource | undefined) ?? new FakeSource()
  const problems: string[] = []
  const report = (path: string, message: string) => problems.push(`${path}: ${message}`)
  const identity = Identity.compile(v.parse(IamSection, config), {
    clock,
    keys: source,
    random,
    secret: (ref) => ('env' in ref ? SECRETS[ref.env] : undefined),
    file: () => undefined,
    report,
    conditions: {
      condition: (text) => (x) => {
        const [field, value] = text.split(' eq ')
        return field === 'auth.tenant' ? x.principal?.tenant === value : x.method === value
      },
    },
    ...more,
  })
  return {
    clock,
    source,
    identity,
    problems,
    route: (auth) =>
      identity.route(
        auth === undefined ? undefined : v.parse(RouteAuthSection, auth),
        'routes[0].auth',
        report,
      ),
    ask: async (route, options) => shown(await identity.identify(request(options), route)),
  }
}

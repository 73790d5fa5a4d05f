/** Requests and a clock for the tests of limits. */
import * as v from 'valibot'
import { LimitsSection } from '../config/sections/limits.ts'
import { Exchange, HeaderList, type Principal } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import type { Clock } from '../ports.ts'
import type { Fleet } from './fleet/fleet-counter.ts'
import type { ExpressionCompiler } from './key.ts'
import { Limits, type LimitsOptions } from './limits.ts'

export interface RequestOptions {
  ip?: string
  method?: string
  path?: string
  query?: string
  headers?: string[]
  principal?: Partial<Principal>
  route?: string
}

export function request(options: RequestOptions = {}): Exchange {
  const path = options.path ?? '/'
  const query = options.query ?? ''
  const ip = parseIp(options.ip ?? '192.0.2.1')
  const x = new Exchange({
    id: 'test',
    startedAt: 0,
    method: options.method ?? 'GET',
    scheme: 'https',
    httpVersion: '1.1',
    authority: 'example.com',
    host: 'example.com',
    target: {
      raw: path,
      path,
      query,
      pathAndQuery: query === '' ? path : `${path}?${query}`,
    },
    headers: new HeaderList(options.headers ?? []),
    client: { ip, port: 1, peer: ip, viaTrustedProxy: false, tls: null },
    body: null,
  })
  if (options.principal !== undefined) {
    x.principal = {
      kind: 'jwt',
      subject: 'someone',
      issuer: 'https://id.example.com',
      scopes: [],
      claims: {},
      ...options.principal,
    }
  }
  if (options.route !== undefined) x.route = { id: options.route, index: 0 }
  return x
}

/** Both clocks stand at `ms`. */
export class FakeClock implements Clock {
  ms = 0
  wall: number | undefined
  now(): number {
    return this.wall ?? this.ms
  }
  monotonic(): number {
    return this.ms
  }
  after(): () => void {
    throw new Error('limits set no timers')
  }
}

export const SEED = Uint8Array.from({ length: 16 }, (_, i) => i * 7 + 1)

/** `field == text` over path, method and host, and numbers: enough to see that expressions are asked. */
export const expressions: ExpressionCompiler = {
  condition: (text) => {
    const [field, value] = text.split(' eq ')
    return (x) => (field === 'path' ? x.target.path : x.method) === value
  },
  value: (text) => (x) => {
    if (text === 'path.length') return x.target.path.length
    return text === 'method' ? x.method : undefined
  },
}

export function compile(
  config: unknown[],
  clock: Clock,
  more: Partial<LimitsOptions> = {},
): Limits {
  return Limits.compile(v.parse(LimitsSection, config), {
    clock,
    seed: SEED,
    expressions,
    report: (path, message) => {
      throw new Error(`${path}: ${message}`)
    },
    ...more,
  })
}

export function problems(config: unknown[], canShare = false, fleet?: Fleet): string[] {
  const found: string[] = []
  const report = (path: string, message: string) => found.push(`${path}: ${message}`)
  Limits.compile(v.parse(LimitsSection, config), {
    clock: new FakeClock(),
    seed: SEED,
    expressions,
    report,
    canShare,
    fleet,
  })
  return found
}

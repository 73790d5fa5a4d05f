/** A settled exchange with the given facts, for the tests of this folder. */
import * as v from 'valibot'
import { type TelemetryConfig, TelemetrySection } from '../config/sections/telemetry.ts'
import { Exchange, type ExchangeInit, HeaderList } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'

export function telemetryConfig(input: unknown = {}): TelemetryConfig {
  return v.parse(TelemetrySection, input)
}

export interface ExchangeFacts extends Partial<ExchangeInit> {
  ip?: string
  path?: string
  query?: string
}

export function exchangeOf(facts: ExchangeFacts = {}, learnt: Partial<Exchange> = {}): Exchange {
  const path = facts.path ?? '/shop/cart'
  const query = facts.query ?? ''
  const pathAndQuery = query === '' ? path : `${path}?${query}`
  const ip = parseIp(facts.ip ?? '203.0.113.77')
  const x = new Exchange({
    id: '01J0000000000000000000',
    startedAt: Date.UTC(2026, 10, 24, 6, 53, 31, 42),
    method: 'GET',
    scheme: 'https',
    httpVersion: '1.1',
    authority: 'shop.example',
    host: 'shop.example',
    headers: new HeaderList(['User-Agent', 'probe/1.0']),
    body: null,
    ...facts,
    target: { raw: pathAndQuery, path, query, pathAndQuery },
    client: facts.client ?? { ip, port: 40000, peer: ip, viaTrustedProxy: false, tls: null },
  })
  return Object.assign(x, learnt)
}

export const SERVED = { status: 200, bytesIn: 0, bytesOut: 1024, durationMs: 12.3456 } as const

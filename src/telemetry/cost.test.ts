/** What answers cost, and what the cache and steering spare. */
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { RegionsSection } from '../config/sections/regions.ts'
import { exchangeOf, telemetryConfig } from './exchange.fixture.ts'
import { exposition } from './exposition.ts'
import { GatewayMetrics } from './gateway-metrics.ts'
import { Mask } from './mask.ts'
import { emptyRecord, writeRecord } from './record.ts'

const regions = v.parse(RegionsSection, [
  { id: 'near', pools: ['a'], egressPrice: 0.09, requestPrice: 1 },
  { id: 'cheap', pools: ['b'], egressPrice: 0.02 },
])
const GB = 1e9

interface Facts {
  region?: string
  reason?: string
  cache?: 'hit' | 'stale' | 'revalidated' | 'miss' | 'pass'
  outcome?: string
  tries?: number
}

function meter() {
  const metrics = new GatewayMetrics(2000, { version: '0', runtime: 'test' })
  metrics.price(regions)
  const record = emptyRecord()
  return {
    observe: ({ region = 'near', reason = 'first', tries = 1, outcome, cache }: Facts) => {
      const attempt = { pool: 'p', origin: 'o', outcome: 'ok', status: 200, durationMs: 1 }
      const other = region === 'near' ? 'cheap' : 'near'
      const x = exchangeOf(
        {},
        {
          outcome: outcome ?? 'served',
          route: { id: 'shop', index: 0 },
          attempts: Array.from({ length: tries }, () => ({ region, ...attempt })),
          ...(tries > 0 && {
            decision: { region, order: [region, other], policy: 'proximity', reason },
          }),
          ...(cache !== undefined && {
            cacheStatus: { outcome: cache, reason: 'x', header: '' },
          }),
        },
      )
      const settlement = { status: 200, bytesIn: 0, bytesOut: GB, durationMs: 1 }
      writeRecord(x, settlement, new Mask(telemetryConfig().mask, new Uint8Array(16)), record)
      metrics.observe(record)
      return record.cheaperThan
    },
    value: (name: string, labels: string) => {
      const line = exposition(metrics.snapshot())
        .split('\n')
        .find((one) => one.startsWith(`${name}{${labels}}`))
      return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')))
    },
  }
}

const SAVED = 'meridian_cost_saved_total'
const COST = 'meridian_region_cost_total'

describe('the cost of an answer', () => {
  it('is that of its bytes out of the region, and of the tries', () => {
    const { observe, value } = meter()
    observe({ tries: 2 })
    observe({ cache: 'miss' })
    expect(value('meridian_region_egress_bytes_total', 'region="near",route="shop"')).toBe(2 * GB)
    expect(value(COST, 'region="near",route="shop",part="egress"')).toBeCloseTo(0.18)
    expect(value(COST, 'region="near",route="shop",part="requests"')).toBeCloseTo(3e-6)
  })

  it('is nothing for what the gateway made itself', () => {
    const { observe, value } = meter()
    observe({ outcome: 'blocked', tries: 0 })
    observe({ outcome: 'origin-timeout', tries: 2 })
    expect(value('meridian_region_egress_bytes_total', 'region="near",route="shop"')).toBe(0)
    expect(value(SAVED, 'route="shop",by="cache"')).toBe(0)
  })

  it('is spared by the cache at the average of the route, at the lowest price before there is one', () => {
    const { observe, value } = meter()
    observe({ cache: 'hit', tries: 0 })
    expect(value(SAVED, 'route="shop",by="cache"')).toBeCloseTo(0.02)
    observe({ region: 'near', cache: 'miss' })
    observe({ region: 'cheap', cache: 'miss' })
    // Validated by a try without a body, coalesced with another request's try, stale after a failed one.
    for (const one of [
      { cache: 'revalidated' },
      { cache: 'miss', tries: 0 },
      { cache: 'stale', tries: 2 },
    ] as const) {
      observe(one)
    }
    expect(value(SAVED, 'route="shop",by="cache"')).toBeCloseTo(0.02 + 3 * 0.055)
  })

  it('is lower by steering only when the price decided', () => {
    const { observe, value } = meter()
    expect(observe({ region: 'cheap', reason: 'cheapest' })).toBe('near')
    expect(observe({ region: 'cheap', reason: 'failover' })).toBe('')
    expect(value(SAVED, 'route="shop",by="steering"')).toBeCloseTo(0.07)
  })
})

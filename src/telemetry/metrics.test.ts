import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CATALOGUE } from './catalogue.ts'
import { exposition, mergeSnapshots } from './exposition.ts'
import { MetricsRegistry, OTHER } from './metrics.ts'

const HITS = { name: 'hits_total', type: 'counter', help: 'Hits.', labels: ['a', 'b'] } as const
const TIME = {
  name: 'time_seconds',
  type: 'histogram',
  help: 'Time.',
  labels: ['a'],
  buckets: [0.1, 1],
} as const

describe('exposition', () => {
  it('is what a scraper expects', () => {
    const registry = new MetricsRegistry(100)
    const hits = registry.scalar(HITS)
    const time = registry.histogram(TIME)
    hits.add(['x', 'quote " slash \\ line \n'])
    hits.add(['x', 'y'], 2)
    for (const value of [0.1, 0.5, 5]) time.observe(['x'], value)
    expect(exposition(registry.snapshot())).toBe(
      [
        '# HELP hits_total Hits.',
        '# TYPE hits_total counter',
        'hits_total{a="x",b="quote \\" slash \\\\ line \\n"} 1',
        'hits_total{a="x",b="y"} 2',
        '# HELP time_seconds Time.',
        '# TYPE time_seconds histogram',
        'time_seconds_bucket{a="x",le="0.1"} 1',
        'time_seconds_bucket{a="x",le="1"} 2',
        'time_seconds_bucket{a="x",le="+Inf"} 3',
        'time_seconds_sum{a="x"} 5.6',
        'time_seconds_count{a="x"} 3',
        '',
      ].join('\n'),
    )
  })

  it('shows no gauge that was never set', () => {
    const registry = new MetricsRegistry(100)
    registry.scalar(CATALOGUE.geoAge)
    const healthy = registry.scalar(CATALOGUE.regionHealthy)
    healthy.set(['eu'], 0)
    expect(exposition(registry.snapshot())).not.toContain('geo')
    expect(exposition(registry.snapshot())).toContain('meridian_region_healthy{region="eu"} 0')
  })
})

describe('the series budget', () => {
  it('folds what is beyond it, loses nothing, and grows no further', () => {
    const registry = new MetricsRegistry(100)
    const hits = registry.scalar(HITS)
    for (let i = 0; i < 5000; i++) hits.add([`attacker-${i}`, 'x'])
    expect(registry.seriesUsed).toBeLessThanOrEqual(100)
    const series = registry.snapshot()[0]!.series
    expect(series.reduce((sum, one) => sum + one.value, 0)).toBe(5000)
    expect(series[0]).toEqual({ labels: [OTHER, OTHER], value: 5000 - (series.length - 1) })
    expect(registry.foldedByFamily()).toEqual([
      { name: 'hits_total', folded: 5000 - (series.length - 1) },
    ])
  })

  it('counts each update of a folded label set, and finds no slot that was given back', () => {
    const registry = new MetricsRegistry(6)
    const state = registry.scalar({ ...HITS, type: 'gauge' })
    const hits = registry.scalar(HITS)
    for (const label of ['a', 'b', 'b', 'c', 'c', 'a', 'a']) hits.add([label, 'x'])
    expect(registry.foldedByFamily()).toEqual([{ name: 'hits_total', folded: 2 }])
    expect(registry.snapshot()[1]!.series).toEqual([
      { labels: [OTHER, OTHER], value: 2 },
      { labels: ['a', 'x'], value: 3 },
      { labels: ['b', 'x'], value: 2 },
    ])
    state.set(['old', 'x'], 1)
    state.set(['old', 'x'], 2)
    state.forget()
    state.set(['new', 'x'], 3)
    expect(registry.snapshot()[0]!.series).toEqual([{ labels: ['new', 'x'], value: 3 }])
  })

  it('leaves room for the other families', () => {
    const registry = new MetricsRegistry(100)
    const time = registry.histogram(TIME)
    const hits = registry.scalar(HITS)
    for (let i = 0; i < 500; i++) time.observe([String(i)], 1)
    for (let i = 0; i < 20; i++) hits.add([String(i), 'x'])
    expect(registry.snapshot()[1]!.series).toHaveLength(20)
  })
})

describe('merging', () => {
  it('adds processes up as one process would have counted', () => {
    const observation = fc.record({
      worker: fc.nat({ max: 2 }),
      label: fc.constantFrom('x', 'y', 'z'),
      value: fc.nat({ max: 3 }),
    })
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 60 }), (observations) => {
        const registries = [0, 1, 2, 3].map(() => {
          const registry = new MetricsRegistry(1000)
          return { registry, hits: registry.scalar(HITS), time: registry.histogram(TIME) }
        })
        for (const { worker, label, value } of observations) {
          for (const { hits, time } of [registries[worker]!, registries[3]!]) {
            hits.add([label, 'b'], value)
            time.observe([label], value)
          }
        }
        const lines = (text: string) => text.split('\n').sort()
        const merged = mergeSnapshots(
          registries.slice(0, 3).map(({ registry }) => structuredClone(registry.snapshot())),
        )
        // A family without any series is not shown, so the two texts agree line by line.
        expect(lines(exposition(merged))).toEqual(
          lines(exposition(registries[3]!.registry.snapshot())),
        )
      }),
    )
  })

  it('takes the lowest or highest of gauges where a sum means nothing', () => {
    const snapshots = [
      [1, 10],
      [0, 30],
    ].map(([healthy, age]) => {
      const registry = new MetricsRegistry(100)
      registry.scalar(CATALOGUE.configSuccess).set([], healthy!)
      registry.scalar(CATALOGUE.geoAge).set([], age!)
      return registry.snapshot()
    })
    const text = exposition(mergeSnapshots(snapshots))
    expect(text).toContain('meridian_config_last_reload_successful 0\n')
    expect(text).toContain('meridian_geo_database_age_seconds 30\n')
  })
})

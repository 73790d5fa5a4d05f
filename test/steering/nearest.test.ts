/**
 * The nearest region, against an oracle that shares nothing with the gateway: addresses read by
 * `mmdb-lib`, distances by `haversine-distance`, everything else by brute force.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import haversine from 'haversine-distance'
import { Reader, type Response } from 'mmdb-lib'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Geo } from '../../src/exchange.ts'
import { countryOf } from '../../src/geo/countries.ts'
import { Mmdb } from '../../src/geo/mmdb.ts'
import { GeoSlots } from '../../src/geo/place.ts'
import { MmdbGeoSource } from '../../src/geo/source.ts'
import { parseIp } from '../../src/http/ip.ts'
import { defaultDatabasePath } from '../../src/runtimes/node/geo-file.ts'
import { maskOf } from '../../src/steering/regions.ts'
import { placeAt, worldOf } from '../../src/steering/steering.fixture.ts'

/** Alibaba Cloud's regions; some share a city with others, so that ties happen. */
const IDS = [
  'cn-hangzhou',
  'cn-shanghai',
  'cn-beijing',
  'cn-shenzhen',
  'cn-chengdu',
  'cn-hongkong',
  'cn-zhangjiakou',
  'cn-huhehaote',
  'cn-wulanchabu',
  'cn-heyuan',
  'cn-guangzhou',
  'cn-nanjing',
  'cn-fuzhou',
  'cn-qingdao',
  'ap-northeast-1',
  'ap-northeast-2',
  'ap-southeast-1',
  'alibaba:ap-southeast-3',
  'alibaba:ap-southeast-5',
  'ap-southeast-6',
  'ap-southeast-7',
  'ap-southeast-8',
  'us-west-1',
  'us-east-1',
  'us-southeast-1',
  'na-south-1',
  'eu-central-1',
  'alibaba:eu-west-1',
  'me-east-1',
  'alibaba:me-central-1',
]
const regions = IDS.map((name) => ({ id: name.slice(name.indexOf(':') + 1), cloud: name }))
/** The sphere and the ellipsoid differ by this much between two near-equal distances. */
const TOLERANCE = 1.005

/** A generator of its own, so that the sample is the same in every run. */
function xorshift(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

function sampleAddresses(count: number): string[] {
  const random = xorshift(20_260_601)
  const octet = () => Math.floor(random() * 256)
  const hex = () => Math.floor(random() * 65_536).toString(16)
  const blocks = ['2001', '2400', '2404', '2409', '2600', '2804', '2a00', '2a02', '2c0f']
  return Array.from({ length: count }, (_, i) =>
    i % 4 === 3
      ? `${blocks[Math.floor(random() * blocks.length)]}:${hex()}:${hex()}::${hex()}`
      : `${1 + Math.floor(random() * 222)}.${octet()}.${octet()}.${octet()}`,
  )
}

describe('nearest region', () => {
  const world = worldOf({ regions })
  const points = world.regions.regions.map(({ latitude, longitude }) => ({ latitude, longitude }))
  let source: MmdbGeoSource
  let oracle: Reader<Response>
  beforeAll(() => {
    const bytes = readFileSync(defaultDatabasePath())
    source = new MmdbGeoSource(new GeoSlots(), [new Mmdb(bytes)])
    oracle = new Reader(bytes)
  })

  /** Metres from a point to each region, by the oracle. */
  const distances = (from: { latitude: number; longitude: number }): number[] =>
    points.map((point) => haversine(from, point))

  /** What is wrong with the choice, or undefined. */
  function fault(place: Geo, to: readonly number[], up: readonly number[]): string | undefined {
    const result = world.decide(place, maskOf(up))
    if (up.length === 0) return result.outcome === 'denied' ? undefined : 'answered with none up'
    if (result.outcome !== 'steered') return `refused: ${result.code}`
    if (result.indexes.length !== up.length)
      return `${result.indexes.length} of ${up.length} in order`
    if (!up.includes(result.regionIndex)) return `${result.region} is down`
    let before = 0
    for (const index of result.indexes) {
      if ((to[index] as number) * TOLERANCE < before) return `${result.order} is not by distance`
      before = to[index] as number
    }
    const best = Math.min(...up.map((index) => to[index] as number))
    const chosen = to[result.regionIndex] as number
    return chosen <= best * TOLERANCE + 1
      ? undefined
      : `${result.region} ${chosen} m, best ${best} m`
  }

  it('is the oracle’s for 2,000 addresses of the default database, with random health', () => {
    const random = xorshift(7)
    const faults: string[] = []
    let located = 0
    for (const text of sampleAddresses(2000)) {
      const place = source.lookup(parseIp(text))
      // The reader's types know MaxMind's own databases only.
      const expected = (oracle.get(text) as { country_code?: string } | null)?.country_code
      const country = expected === undefined ? undefined : countryOf(expected)
      if (place.country !== (country?.code ?? null))
        faults.push(`${text}: ${place.country}, not ${expected}`)
      if (country === undefined) continue
      located++
      const to = distances(country)
      const masks = [
        points.map((_, i) => i),
        ...[0.9, 0.5, 0.1].map((share) => [...points.keys()].filter(() => random() < share)),
      ]
      for (const up of masks) {
        const found = fault(place, to, up)
        if (found !== undefined) faults.push(`${text} (${place.country}): ${found}`)
      }
    }
    expect(faults).toEqual([])
    expect(located).toBeGreaterThan(1200)
  })

  it('is the oracle’s anywhere on earth: poles, antimeridian, under a region', () => {
    const edge = fc.constantFrom(
      [90, 0],
      [-90, 0],
      [90, 135],
      [-90, -45],
      [0, 180],
      [0, -180],
      [52, 179.999],
      [52, -179.999],
      [0.0001, 0.0001],
      [31.23, 121.47],
      [1.35, 103.82],
      [-31.23, -58.53],
    )
    const anywhere = fc.tuple(
      fc.double({ min: -90, max: 90, noNaN: true }),
      fc.double({ min: -180, max: 180, noNaN: true }),
    )
    fc.assert(
      fc.property(
        fc.oneof({ weight: 1, arbitrary: edge }, { weight: 4, arbitrary: anywhere }),
        fc.subarray([...points.keys()]),
        ([latitude, longitude], up) => {
          const place = placeAt(latitude as number, longitude as number)
          expect(fault(place, distances(place), up)).toBeUndefined()
        },
      ),
      { numRuns: 2000, seed: 42 },
    )
  })

  it('breaks ties by the order of the config, and takes that order where nothing is known', () => {
    const twins = worldOf({
      regions: [
        { id: 'b', latitude: 10, longitude: 20, tags: [] },
        { id: 'a', latitude: 10, longitude: 20, tags: [] },
      ],
    })
    expect(twins.where(placeAt(50, 8))).toBe('b')
    expect(world.where(placeAt(Number.NaN, Number.NaN))).toBe('cn-hangzhou')
    expect(world.where(placeAt(Number.NaN, 8))).toBe('cn-hangzhou')
  })

  it('agrees with brute force under bias, residency and every subset of six regions', () => {
    const six = regions.slice(14, 20)
    const random = xorshift(99)
    for (let round = 0; round < 40; round++) {
      const biases = six.map(() => Math.round(random() * 180 - 90))
      const tags = six.map(() => (random() < 0.5 ? ['IN'] : ['OUT']))
      tags[0] = ['IN']
      const own = worldOf({
        regions: six.map((region, i) => ({ ...region, bias: biases[i], tags: tags[i] })),
        residency: [{ id: 'in', allowTags: ['IN'] }],
      })
      const place = placeAt(random() * 180 - 90, random() * 360 - 180)
      const to = own.regions.regions.map((region, i) => {
        const metres = haversine(place, region)
        const bias = biases[i] as number
        return bias >= 0 ? metres * (1 - bias / 100) : metres / (1 + bias / 100)
      })
      for (let subset = 0; subset < 64; subset++) {
        const may = [...six.keys()].filter((i) => (subset >> i) % 2 === 1 && tags[i]?.[0] === 'IN')
        const result = own.decide(place, { low: subset, high: 0 })
        if (may.length === 0) {
          expect(result).toMatchObject({
            outcome: 'denied',
            code: tags.flat().includes('OUT') ? 'residency-unavailable' : 'region-unavailable',
          })
          continue
        }
        const best = Math.min(...may.map((i) => to[i] as number))
        expect(result.outcome).toBe('steered')
        if (result.outcome !== 'steered') continue
        expect(may).toContain(result.regionIndex)
        expect(to[result.regionIndex] as number).toBeLessThanOrEqual(best * TOLERANCE)
      }
    }
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { explain } from './explain.ts'
import { maskOf } from './regions.ts'
import { PLACES, placeAt, type WorldConfig, worldOf } from './steering.fixture.ts'

const regions = ['eu-central-1', 'aws:eu-west-3', 'us-east-1', 'ap-southeast-1'].map((name) => {
  const id = name.slice(name.indexOf(':') + 1)
  return { id, cloud: name }
})
const gdpr = {
  id: 'gdpr',
  from: { europeanUnion: true, countries: ['IS', 'LI', 'NO'] },
  allowTags: ['EU'],
} as const

describe('residency', () => {
  const world = worldOf({
    regions,
    residency: [
      { ...gdpr, from: { ...gdpr.from, countries: [...gdpr.from.countries] }, allowTags: ['EU'] },
    ],
  })
  const norway = placeAt(59.9, 10.7, { country: 'NO', continent: 'EU' })
  it.each([
    { client: PLACES.frankfurt, down: [], expected: 'eu-central-1' },
    { client: PLACES.frankfurt, down: ['eu-central-1'], expected: 'eu-west-3' },
    {
      client: PLACES.frankfurt,
      down: ['eu-central-1', 'eu-west-3'],
      expected: 'residency-unavailable',
    },
    { client: norway, down: ['eu-central-1', 'eu-west-3'], expected: 'residency-unavailable' },
    { client: PLACES.zurich, down: ['eu-central-1', 'eu-west-3'], expected: 'us-east-1' },
    { client: PLACES.newYork, down: [], expected: 'us-east-1' },
    { client: PLACES.newYork, down: ['us-east-1'], expected: 'eu-west-3' },
    { client: PLACES.nowhere, down: [], expected: 'residency-denied' },
    {
      client: PLACES.newYork,
      down: regions.map((region) => region.id),
      expected: 'region-unavailable',
    },
  ])('a client in $client.country with $down down: $expected', ({ client, down, expected }) => {
    expect(world.where(client, world.down(...down))).toBe(expected)
  })

  it('says why, with the status and what to hold for', () => {
    expect(world.decide(PLACES.frankfurt, world.down('eu-central-1', 'eu-west-3'))).toMatchObject({
      code: 'residency-unavailable',
      status: 503,
      residencyRule: 'gdpr',
      lastResort: ['eu-central-1', 'eu-west-3'],
    })
    expect(world.decide(PLACES.nowhere)).toMatchObject({
      code: 'residency-denied',
      status: 451,
      residencyRule: 'gdpr',
      lastResort: [],
    })
  })

  it.each([
    ['deny', 'residency-denied'],
    ['restrict', 'eu-central-1'],
    ['allow', 'us-east-1'],
  ] as const)('on unknown: %s gives %s', (onUnknown, expected) => {
    const strict = worldOf({
      regions: [...regions].reverse(),
      residency: [{ id: 'r', from: { europeanUnion: true }, allowTags: ['DE'], onUnknown }],
      gateway: { region: 'us-east-1' },
    })
    expect(strict.where(PLACES.nowhere)).toBe(expected)
  })

  const byClaim = worldOf({
    regions,
    residency: [
      {
        id: 'tenant',
        from: {
          europeanUnion: true,
          claim: { name: 'tenant_region', values: ['eu'] },
          header: { name: 'X-Residence', values: ['eu'] },
        },
        allowTags: ['EU'],
      },
    ],
  })
  const header = (value: string | undefined) => ({
    header: (name: string) => (name === 'x-residence' ? value : undefined),
  })
  it.each([
    [
      'a claim binds a client elsewhere',
      PLACES.newYork,
      { claims: { tenant_region: 'eu' } },
      'eu-west-3',
    ],
    [
      'a claim in a list does',
      PLACES.newYork,
      { claims: { tenant_region: ['us', 'eu'] } },
      'eu-west-3',
    ],
    ['another claim does not', PLACES.newYork, { claims: { tenant_region: 'us' } }, 'us-east-1'],
    [
      'a claim never frees whom the address binds',
      PLACES.frankfurt,
      { claims: { tenant_region: 'us' } },
      'eu-central-1',
    ],
    [
      'a claim settles an unknown address',
      PLACES.nowhere,
      { claims: { tenant_region: 'us' } },
      'eu-central-1',
    ],
    [
      'a claim that is no text settles nothing good',
      PLACES.nowhere,
      { claims: { tenant_region: null } },
      'residency-denied',
    ],
    ['a header binds', PLACES.newYork, header('eu'), 'eu-west-3'],
    ['no evidence at all', PLACES.nowhere, header(undefined), 'residency-denied'],
  ])('%s', (_name, place, evidence, expected) => {
    expect(byClaim.where(place, undefined, evidence)).toBe(expected)
  })

  it('binds what a gateway in front has bound, by any rule, and tells the next', () => {
    const named = { id: 'paris', from: { countries: ['FR'] }, allowTags: ['FR'] }
    const world = worldOf({
      regions,
      residency: [
        { ...gdpr, from: { ...gdpr.from, countries: [] }, allowTags: ['EU'], announce: true },
        { ...named, scope: 'named', announce: true, onUnknown: 'allow' },
      ],
    })
    const where = (geo: typeof PLACES.newYork, hop?: string) => world.where(geo, undefined, { hop })
    expect(where(PLACES.newYork)).toBe('us-east-1')
    expect(where(PLACES.newYork, 'gdpr')).toBe('eu-west-3')
    expect(where(PLACES.nowhere, 'gdpr')).toMatch(/^eu-/)
    // Of a rule that this route does not name: it holds all the same.
    expect(where(PLACES.frankfurt, 'unheard-of, paris')).toBe('eu-west-3')
    expect(where(PLACES.newYork, 'gd, pr, gdpr2,;{}')).toBe('us-east-1')
    const told = (geo: typeof PLACES.newYork, hop?: string) =>
      world.plan.announced(geo, { clientHash: 1, hop })
    expect(told(PLACES.newYork)).toBe('')
    expect(told(PLACES.frankfurt)).toBe('gdpr')
    expect(told(PLACES.frankfurt, 'unheard-of, gdpr, <script>')).toBe('unheard-of, gdpr')
    // Frees nobody.
    expect(where(PLACES.frankfurt, '')).toBe('eu-central-1')
  })

  it('narrows by several rules at once, and by those that a route names', () => {
    const config = (residency: string | undefined): WorldConfig => ({
      regions,
      residency: [
        { id: 'gdpr', from: { europeanUnion: true }, allowTags: ['EU'] },
        { id: 'german', from: {}, allowTags: ['DE'], scope: 'named' },
      ],
      route: residency === undefined ? {} : { residency },
    })
    expect(worldOf(config(undefined)).where(PLACES.paris)).toBe('eu-west-3')
    expect(worldOf(config('german')).where(PLACES.paris)).toBe('eu-central-1')
    expect(worldOf(config('german')).where(PLACES.newYork)).toBe('eu-central-1')
    expect(worldOf(config('germn')).problems).toEqual([
      'routes[0].residency: there is no residency rule "germn" (did you mean "german"?)',
    ])
  })

  it('refuses with 451 where no region of the route may see the request', () => {
    const american = worldOf({
      regions,
      residency: [{ id: 'gdpr', from: { europeanUnion: true }, allowTags: ['EU'] }],
      route: { regions: ['us-east-1'] },
    })
    expect(american.decide(PLACES.frankfurt)).toMatchObject({
      code: 'residency-denied',
      status: 451,
    })
    expect(american.where(PLACES.newYork)).toBe('us-east-1')
  })

  it('holds for every policy, health, stickiness, share and fallback', async () => {
    const { StickyTokens } = await import('./sticky.ts')
    const ids = regions.map((region) => region.id)
    const sticky = await StickyTokens.create(ids, ['0123456789abcdef'])
    const policies = [
      { policy: 'proximity' },
      { policy: 'proximity', sensitivity: '500ms' },
      { policy: 'latency', reference: 'gateway' },
      { policy: 'weighted', weights: { 'us-east-1': 9, 'eu-central-1': 1, 'eu-west-3': 1 } },
      { policy: 'failover', order: ['us-east-1', 'ap-southeast-1', 'eu-central-1'] },
      {
        policy: 'geo',
        lists: { countries: { DE: ['us-east-1', 'eu-west-3'] }, default: ['us-east-1'] },
      },
    ] as const
    const worlds = policies.map((policy) =>
      worldOf({
        regions: regions.map((region, i) => ({
          ...region,
          dial: 100 - i * 20,
          egressPrice: 10 - i,
        })),
        residency: [{ id: 'gdpr', from: { europeanUnion: true }, allowTags: ['EU'] }],
        // Sections are parsed input; readonly tables of the test are copied into them.
        steering: JSON.parse(
          JSON.stringify({
            ...policy,
            fallback: ['ap-southeast-1', 'us-east-1'],
            sticky: { secret: { env: 'X' } },
          }),
        ),
        gateway: { region: 'us-east-1' },
        sticky,
      }),
    )
    const european = new Set(['eu-central-1', 'eu-west-3'])
    let answered = 0
    fc.assert(
      fc.property(
        fc.constantFrom(...worlds),
        fc.subarray([0, 1, 2, 3]),
        fc.nat(0xffffffff),
        fc.option(fc.nat(3), { nil: undefined }),
        fc.subarray([0, 1, 2, 3]),
        (world, up, clientHash, stuck, tried) => {
          const request = {
            clientHash,
            stickyToken: stuck === undefined ? undefined : sticky.write(stuck),
            tried: maskOf(tried),
          }
          const health = { ...maskOf(up), shares: Float64Array.of(0.1, 0.5, 1, 1) }
          const result = world.plan.decide(PLACES.frankfurt, request, health)
          const named = result.outcome === 'steered' ? result.order : result.lastResort
          const wrong = named.filter((region) => !european.has(region))
          if (result.outcome === 'steered') {
            answered++
            wrong.push(
              ...result.indexes.filter((i) => !up.includes(i) || tried.includes(i)).map(String),
            )
          }
          const told = explain(world.plan, PLACES.frankfurt, request, health)
          for (const { region, outcome } of told.candidates) {
            const isOut = outcome === 'residency' || outcome === 'not-in-route'
            if (!european.has(region) && !isOut) wrong.push(`${region} ${outcome}`)
          }
          expect(wrong).toEqual([])
        },
      ),
      { numRuns: 3000 },
    )
    expect(answered).toBeGreaterThan(500)
  })
})

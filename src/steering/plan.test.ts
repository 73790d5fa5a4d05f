import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UNKNOWN_GEO } from '../exchange.ts'
import { explain } from './explain.ts'
import { hashKey } from './hash.ts'
import { maskOf } from './regions.ts'
import { clients, PLACES, placeAt, steered, worldOf } from './steering.fixture.ts'
import { StickyTokens } from './sticky.ts'

const three = ['eu-central-1', 'us-east-1', 'ap-southeast-1']

describe('proximity', () => {
  const world = worldOf({ regions: three })
  it.each([
    [PLACES.frankfurt, three, 'eu-central-1', 'first'],
    [PLACES.newYork, ['us-east-1', 'eu-central-1', 'ap-southeast-1'], 'us-east-1', 'first'],
    [PLACES.tokyo, ['ap-southeast-1', 'eu-central-1', 'us-east-1'], 'ap-southeast-1', 'first'],
    [PLACES.nowhere, three, 'eu-central-1', 'first'],
  ])('ranks for %o', (place, order, region, reason) => {
    expect(world.decide(place)).toMatchObject({ region, order, reason, policy: 'proximity' })
  })

  it('goes on to the next when the nearest is down, and back the moment it is up', () => {
    expect(world.decide(PLACES.frankfurt, world.down('eu-central-1'))).toMatchObject({
      region: 'us-east-1',
      order: ['us-east-1', 'ap-southeast-1'],
      reason: 'failover',
    })
    expect(world.where(PLACES.frankfurt)).toBe('eu-central-1')
  })

  it('answers a place met before with the same frozen decision', () => {
    const first = world.decide(PLACES.frankfurt)
    expect(world.decide(PLACES.frankfurt)).toBe(first)
    expect(Object.isFrozen(first)).toBe(true)
  })

  it('never confuses places that share a slot, as after a swap of databases', () => {
    const old = { ...PLACES.frankfurt, slot: 77 }
    const swapped = { ...PLACES.singapore, slot: 77 }
    expect(world.where(old)).toBe('eu-central-1')
    expect(world.where(swapped)).toBe('ap-southeast-1')
    expect(world.where(old)).toBe('eu-central-1')
  })

  it('measures from the gateway when told so, and for clients whose place is unknown', () => {
    const fromGateway = worldOf({
      regions: three,
      steering: { reference: 'gateway' },
      gateway: { region: 'ap-southeast-1' },
    })
    expect(fromGateway.where(PLACES.frankfurt)).toBe('ap-southeast-1')
    const fromClient = worldOf({ regions: three, gateway: { latitude: 40, longitude: -74 } })
    expect(fromClient.where(PLACES.frankfurt)).toBe('eu-central-1')
    expect(fromClient.where(PLACES.nowhere)).toBe('us-east-1')
  })

  it('handles more than 32 regions', () => {
    const many = Array.from({ length: 64 }, (_, i) => ({
      id: `r${i}`,
      latitude: 0,
      longitude: i * 2,
      tags: [],
    }))
    const large = worldOf({ regions: many })
    for (const i of [0, 31, 32, 63]) {
      const place = placeAt(1, i * 2)
      expect(large.where(place)).toBe(`r${i}`)
      expect(large.where(place, large.down(`r${i}`))).toMatch(/^r\d+$/)
      expect(large.where(place, large.down(`r${i}`))).not.toBe(`r${i}`)
    }
    expect(large.where(placeAt(0, 90), maskOf([63]))).toBe('r63')
  })

  it('applies bias as Route 53 does', () => {
    const biased = (bias: number) =>
      worldOf({ regions: ['eu-central-1', { id: 'us-east-1', bias }] }).where(placeAt(52, -40))
    // About 3180 km to Virginia, 3340 km to Frankfurt.
    expect(biased(0)).toBe('us-east-1')
    expect(biased(-50)).toBe('eu-central-1')
    expect(biased(50)).toBe('us-east-1')
    const far = (bias: number) =>
      worldOf({ regions: ['eu-central-1', { id: 'us-east-1', bias }] }).where(placeAt(50, 0))
    expect(far(0)).toBe('eu-central-1')
    expect(far(95)).toBe('us-east-1')
  })

  it('takes the cheapest region of those about as near', () => {
    const priced = (sensitivity: string) =>
      worldOf({
        regions: [
          { id: 'eu-central-1', egressPrice: 0.09 },
          { id: 'eu-west-3', cloud: 'aws:eu-west-3', egressPrice: 0.02 },
          { id: 'us-east-1', egressPrice: 0.01 },
        ],
        steering: { sensitivity },
      })
    expect(priced('0ms').where(PLACES.frankfurt)).toBe('eu-central-1')
    // Paris is 479 km away: 7 ms more. Virginia is 6500 km away: 98 ms more.
    expect(priced('15ms').decide(PLACES.frankfurt)).toMatchObject({
      region: 'eu-west-3',
      reason: 'cheapest',
      order: ['eu-west-3', 'eu-central-1', 'us-east-1'],
    })
    expect(priced('5ms').where(PLACES.frankfurt)).toBe('eu-central-1')
    expect(priced('150ms').where(PLACES.frankfurt)).toBe('us-east-1')
  })
})

describe('other policies', () => {
  it('failover: the first that is up', () => {
    const world = worldOf({
      regions: three,
      steering: { policy: 'failover', order: ['us-east-1', 'eu-central-1'] },
    })
    expect(world.decide(PLACES.frankfurt)).toMatchObject({
      order: ['us-east-1', 'eu-central-1', 'ap-southeast-1'],
      policy: 'failover',
    })
    expect(world.where(PLACES.frankfurt, world.down('us-east-1'))).toBe('eu-central-1')
  })

  it('geo: the most exact list, then its own fallback', () => {
    const world = worldOf({
      regions: [...three, 'ap-northeast-1'],
      steering: {
        policy: 'geo',
        lists: {
          countries: { JP: ['ap-northeast-1', 'ap-southeast-1'] },
          europeanUnion: ['eu-central-1'],
          continents: { AS: ['ap-southeast-1'], EU: ['us-east-1'] },
          default: ['us-east-1'],
        },
        fallback: ['ap-southeast-1'],
      },
    })
    const { tokyo, singapore, frankfurt, zurich, newYork, nowhere } = PLACES
    expect(world.decide(tokyo)).toMatchObject({ order: ['ap-northeast-1', 'ap-southeast-1'] })
    expect(world.where(singapore)).toBe('ap-southeast-1')
    expect(world.where(frankfurt)).toBe('eu-central-1')
    expect(world.where(zurich)).toBe('us-east-1')
    expect(world.where(newYork)).toBe('us-east-1')
    expect(world.where(nowhere)).toBe('us-east-1')
    expect(world.decide(frankfurt, world.down('eu-central-1'))).toMatchObject({
      region: 'ap-southeast-1',
      reason: 'fallback',
    })
  })

  it('weighted: shares as given, and a region that goes moves only its own clients', () => {
    const world = worldOf({
      regions: three,
      steering: {
        policy: 'weighted',
        weights: { 'eu-central-1': 60, 'us-east-1': 30, 'ap-southeast-1': 10 },
      },
    })
    const all = clients(20_000)
    const before = all.map((clientHash) => world.where(PLACES.tokyo, undefined, { clientHash }))
    const share = (id: string) => before.filter((region) => region === id).length / all.length
    expect(share('eu-central-1')).toBeCloseTo(0.6, 1)
    expect(Math.abs(share('us-east-1') - 0.3)).toBeLessThan(0.01)
    expect(Math.abs(share('ap-southeast-1') - 0.1)).toBeLessThan(0.01)
    const health = world.down('us-east-1')
    const misplaced = all.filter((clientHash, i) => {
      const after = world.where(PLACES.tokyo, health, { clientHash })
      return before[i] === 'us-east-1' ? after === 'us-east-1' : after !== before[i]
    })
    expect(misplaced).toEqual([])
  })

  it('rules: the first that holds chooses policy and fallback', () => {
    const world = worldOf({
      regions: three,
      steering: {
        rules: [
          { when: 'api', policy: 'failover', order: ['us-east-1'], regions: ['us-east-1'] },
          { id: 'images', when: 'img', regions: ['ap-southeast-1'], fallback: ['us-east-1'] },
          { when: 'api', policy: 'proximity' },
        ],
      },
    })
    const decide = (subject: string, health = world.regions.all) =>
      steered(world.table.plan(0, subject).decide(PLACES.frankfurt, { clientHash: 1 }, health))
    expect(decide('api')).toMatchObject({ region: 'us-east-1', policy: 'failover', rule: 'rule-1' })
    expect(decide('img')).toMatchObject({ region: 'ap-southeast-1', rule: 'images' })
    expect(decide('img', world.down('ap-southeast-1')).region).toBe('us-east-1')
    expect(decide('other')).toMatchObject({ region: 'eu-central-1', rule: null })
  })
})

describe('latency', () => {
  function latencyWorld(reference: 'client' | 'gateway') {
    return worldOf({
      regions: ['eu-central-1', 'us-east-1'],
      steering: { policy: 'latency', reference },
      gateway: { latitude: 50, longitude: -30 },
    })
  }

  it('follows measured connect times from the gateway, not single ones', () => {
    const world = latencyWorld('gateway')
    const { rtt } = world.table
    expect(world.where(PLACES.newYork)).toBe('eu-central-1')
    rtt.observe(0, 200, 0)
    rtt.observe(1, 60, 0)
    rtt.observe(1, 60, 1)
    expect(world.where(PLACES.newYork), 'one review is not enough').toBe('eu-central-1')
    rtt.observe(1, 60, 5_000)
    expect(world.where(PLACES.newYork), 'no review within ten seconds').toBe('eu-central-1')
    rtt.observe(1, 60, 10_001)
    expect(world.where(PLACES.newYork), 'twice in a row').toBe('us-east-1')
  })

  it('does not change over for less than a tenth and 5 ms', () => {
    const world = latencyWorld('gateway')
    const { rtt } = world.table
    rtt.observe(0, 60, 0)
    rtt.observe(1, 70, 0)
    rtt.observe(1, 70, 10_000)
    expect(world.where(PLACES.newYork)).toBe('eu-central-1')
    for (let i = 2; i < 100; i++) {
      rtt.observe(0, 73, i * 10_000)
      expect(world.where(PLACES.newYork)).toBe('eu-central-1')
    }
  })

  it('corrects a client’s distance by how slow a region answers', () => {
    const world = latencyWorld('client')
    const { rtt } = world.table
    // 2680 km to Frankfurt, 4900 km to Virginia.
    const midway = placeAt(52, -28)
    expect(world.where(midway)).toBe('eu-central-1')
    for (let i = 0; i < 4; i++) {
      rtt.observe(0, 400, i * 10_000)
      rtt.observe(1, 60, i * 10_000)
      world.where(midway)
    }
    expect(rtt.inflation(0)).toBe(4)
    expect(world.where(midway)).toBe('us-east-1')
    expect(world.where(PLACES.frankfurt), 'but not where it is much nearer').toBe('eu-central-1')
  })
})

describe('a reload', () => {
  it('keeps what was measured of the regions that stay, by name', () => {
    const before = worldOf({
      regions: ['eu-central-1', { id: 'us-east-1', capacity: { requestsPerSecond: 100 } }],
      steering: { policy: 'latency', reference: 'gateway' },
      gateway: { latitude: 50, longitude: -30 },
    })
    const old = before.table
    for (const at of [0, 10_000, 20_000]) {
      old.rtt.observe(0, 400, at)
      old.rtt.observe(1, 60, at)
    }
    for (let i = 0; i < 3000; i++) old.load.arrived(1, i * 5)
    expect(old.load.shares[1]).toBeLessThan(0.6)
    const after = worldOf({
      regions: [
        'ap-southeast-1',
        { id: 'us-east-1', capacity: { requestsPerSecond: 100 } },
        'eu-central-1',
      ],
      steering: { policy: 'latency', reference: 'gateway' },
      gateway: { latitude: 50, longitude: -30 },
      previous: old,
    })
    expect(after.where(PLACES.frankfurt)).toBe('us-east-1')
    expect(after.table.rtt.fromGateway(2)).toBe(400)
    expect(after.table.rtt.inflation(0)).toBe(1)
    after.table.load.arrived(1, 15_000)
    expect(after.table.load.shares[1]).toBeLessThan(0.6)
  })
})

describe('shares of traffic', () => {
  const all = clients(20_000)
  const shareAt = (world: ReturnType<typeof worldOf>, id: string, health = world.regions.all) =>
    all.filter((clientHash) => world.where(PLACES.frankfurt, health, { clientHash }) === id)
      .length / all.length

  it('dials a region down, and only adds clients when it is dialled up', () => {
    const dialled = (dial: number) =>
      worldOf({ regions: [{ id: 'eu-central-1', dial }, 'us-east-1', 'ap-southeast-1'] })
    let inside = new Set<number>()
    for (const dial of [0, 1, 10, 50, 99]) {
      const world = dialled(dial)
      const now = new Set(
        all.filter(
          (clientHash) =>
            world.where(PLACES.frankfurt, undefined, { clientHash }) === 'eu-central-1',
        ),
      )
      expect(Math.abs(now.size / all.length - dial / 100)).toBeLessThan(0.01)
      expect([...inside].every((client) => now.has(client))).toBe(true)
      inside = now
    }
  })

  it('ignores the dial when nothing else is up', () => {
    const world = worldOf({ regions: [{ id: 'eu-central-1', dial: 0 }, 'us-east-1'] })
    expect(world.where(PLACES.frankfurt)).toBe('us-east-1')
    expect(world.where(PLACES.frankfurt, world.down('us-east-1'))).toBe('eu-central-1')
  })

  it('spills what is above capacity to the next region: always the same clients', () => {
    const world = worldOf({
      regions: [{ id: 'eu-central-1', capacity: { requestsPerSecond: 1000 } }, 'us-east-1'],
    })
    const { load } = world.table
    // 120 % of the capacity for a minute.
    let spilled = 0
    let counted = 0
    for (let i = 0; i < 72_000; i++) {
      const now = i / 1.2
      const clientHash = all[i % all.length]!
      const decision = steered(world.decide(PLACES.frankfurt, undefined, { clientHash }))
      load.arrived(decision.regionIndex, now)
      for (const index of decision.spilledFrom) load.arrived(index, now)
      if (now > 40_000) {
        counted++
        if (decision.region === 'us-east-1') spilled++
      }
    }
    expect(Math.abs(spilled / counted - (1 - 1 / 1.2))).toBeLessThan(0.02)
    expect(load.read(0).requestsPerSecond).toBeGreaterThan(1150)
    const once = all.map((clientHash) => world.where(PLACES.frankfurt, undefined, { clientHash }))
    const twice = all.map((clientHash) => world.where(PLACES.frankfurt, undefined, { clientHash }))
    expect(twice).toEqual(once)
    // The load goes: everything comes home.
    for (let i = 0; i < 3000; i++) load.arrived(0, 60_000 + i * 10)
    expect(shareAt(world, 'eu-central-1')).toBe(1)
  })

  it('says so when all are above capacity', () => {
    const world = worldOf({
      regions: [
        { id: 'eu-central-1', capacity: { inflight: 1 } },
        { id: 'us-east-1', capacity: { inflight: 1 } },
      ],
    })
    const { load } = world.table
    for (const index of [0, 1]) {
      for (let i = 0; i < 1000; i++) load.begin(index)
      load.arrived(index, 100_000)
    }
    const reasons = all
      .slice(0, 100)
      .map(
        (clientHash) => steered(world.decide(PLACES.frankfurt, undefined, { clientHash })).reason,
      )
    expect(reasons).toContain('overloaded')
    for (let i = 0; i < 1000; i++) for (const index of [0, 1]) load.end(index)
    expect(load.read(0).inflight).toBe(0)
  })

  it('sends the share that ailing origins cannot bear to the next region', () => {
    const world = worldOf({ regions: three })
    const health = { ...world.regions.all, shares: Float64Array.of(0.7, 1, 1) }
    expect(Math.abs(shareAt(world, 'eu-central-1', health) - 0.7)).toBeLessThan(0.01)
    expect(Math.abs(shareAt(world, 'us-east-1', health) - 0.3)).toBeLessThan(0.01)
  })

  it('drains: no new clients, not even by failover', () => {
    const world = worldOf({ regions: [{ id: 'eu-central-1', drain: true }, 'us-east-1'] })
    expect(world.where(PLACES.frankfurt)).toBe('us-east-1')
    expect(world.where(PLACES.frankfurt, world.down('us-east-1'))).toBe('region-unavailable')
  })
})

describe('stickiness', () => {
  async function stickyWorld(mode: 'temporary' | 'sticky', drain = false) {
    const sticky = await StickyTokens.create(three, ['0123456789abcdef', 'an-older-secret!'])
    const world = worldOf({
      regions: three.map((id) => ({ id, drain: drain && id === 'us-east-1' })),
      steering: { sticky: { mode, secret: { env: 'STICKY' } } },
      sticky,
    })
    const decide = (stickyToken: string | undefined, health = world.regions.all) =>
      steered(world.decide(PLACES.frankfurt, health, { stickyToken }))
    return { sticky, world, decide }
  }

  it('gives a token, keeps to it, and forgets forged and foreign ones', async () => {
    const { sticky, decide } = await stickyWorld('temporary')
    const american = sticky.write(1)!
    expect(decide(undefined).setSticky).toBe(sticky.write(0))
    expect(decide(american)).toMatchObject({
      region: 'us-east-1',
      reason: 'sticky',
      setSticky: undefined,
    })
    expect(decide(american).order).toEqual(['us-east-1', 'eu-central-1', 'ap-southeast-1'])
    const foreign = (await StickyTokens.create(three, ['another-secret-!'])).write(1)!
    for (const token of [foreign, '', 'x'.repeat(24), `${american}x`, 'a'.repeat(5000)]) {
      expect(decide(token)).toMatchObject({ region: 'eu-central-1', setSticky: sticky.write(0) })
    }
    expect(american).toMatch(/^[A-Za-z0-9_-]{24}$/)
  })

  it('accepts the older secret, and none of another epoch', async () => {
    const { decide } = await stickyWorld('temporary')
    const older = await StickyTokens.create(three, ['an-older-secret!'])
    expect(decide(older.write(1)).region).toBe('us-east-1')
    const epoch = await StickyTokens.create(three, ['0123456789abcdef'], '2')
    expect(decide(epoch.write(1)).region).toBe('eu-central-1')
  })

  it.each([
    ['temporary', undefined],
    ['sticky', 'eu-central-1'],
  ] as const)('%s: when the region is down', async (mode, movesTo) => {
    const { sticky, world, decide } = await stickyWorld(mode)
    const decision = decide(sticky.write(1), world.down('us-east-1'))
    expect(decision.region).toBe('eu-central-1')
    expect(decision.setSticky).toBe(
      movesTo === undefined ? undefined : sticky.write(three.indexOf(movesTo)),
    )
  })

  it('lets sticky clients finish in a draining region', async () => {
    const { sticky, decide } = await stickyWorld('temporary', true)
    expect(decide(sticky.write(1)).region).toBe('us-east-1')
    expect(decide(undefined).order).not.toContain('us-east-1')
  })
})

describe('explain', () => {
  it('names every region with its cost and what became of it', () => {
    const world = worldOf({
      regions: [...three, { id: 'ap-northeast-1', drain: true }, 'us-west-1'],
      residency: [{ id: 'no-singapore', allowTags: ['DE', 'EU', 'US', 'JP'] }],
      route: { regions: ['eu-central-1', 'us-east-1', 'ap-southeast-1', 'ap-northeast-1'] },
    })
    const told = explain(
      world.plan,
      PLACES.frankfurt,
      { clientHash: 1 },
      world.down('eu-central-1'),
    )
    expect(told.unit).toBe('km')
    expect(told.residency).toEqual([{ rule: 'no-singapore', binds: 'yes' }])
    expect(told.candidates.map((each) => [each.region, each.outcome])).toEqual([
      ['eu-central-1', 'unhealthy'],
      ['us-east-1', 'chosen'],
      ['ap-southeast-1', 'residency'],
      ['ap-northeast-1', 'drained'],
      ['us-west-1', 'not-in-route'],
    ])
    expect(told.candidates[1]?.cost).toBeGreaterThan(6000)
    expect(told.candidates[1]?.cost).toBeLessThan(7000)
  })
})

describe('what cannot be', () => {
  it.each([
    [
      { regions: ['eu-centrl-1'] },
      /regions\[0\]: "eu-centrl-1" is no known cloud region.*did you mean "eu-central-1"/,
    ],
    [
      { regions: ['eu-west-1'] },
      /clouds use "eu-west-1" for different places.*alibaba:eu-west-1.*aws:eu-west-1/,
    ],
    [
      { regions: [{ id: 'x', cloud: 'aws:eu-wst-1' }] },
      /no cloud region "aws:eu-wst-1".*did you mean "aws:eu-west-1"/,
    ],
    [{ regions: ['us-east-1', 'us-east-1'] }, /two regions with the id/],
    [
      { regions: three, residency: [{ id: 'a', allowTags: ['MOON'] }] },
      /no region has one of the tags MOON/,
    ],
    [
      { regions: three, route: { regions: ['us-eas-1'] } },
      /routes\[0\].regions\[0\]: there is no region "us-eas-1" \(did you mean "us-east-1"/,
    ],
    [
      { regions: three, steering: { fallback: ['mars'] } },
      /steering.fallback\[0\]: there is no region "mars"/,
    ],
    [
      { regions: three, steering: { policy: 'weighted' as const } },
      /steering.weights: no region of the route has a weight/,
    ],
    [{ regions: three, steering: { policy: 'geo' as const } }, /steering.lists/],
    [
      { regions: three, steering: { reference: 'gateway' as const } },
      /steering.reference: the place of this gateway/,
    ],
  ])('%j is reported', (config, message) => {
    expect(worldOf(config).problems.join('\n')).toMatch(message)
  })

  it('decides for any place and health without throwing', () => {
    const world = worldOf({ regions: three })
    const number = fc.oneof(fc.double(), fc.constantFrom(90, -90, 180, -180, 0, Number.NaN))
    fc.assert(
      fc.property(number, number, fc.integer(), (latitude, longitude, low) => {
        const result = world.decide(
          { ...UNKNOWN_GEO, slot: 5, latitude, longitude },
          { low, high: 0 },
        )
        if ((low & 7) === 0) expect(result.outcome).toBe('denied')
        else expect(steered(result).order).toHaveLength([0, 1, 1, 2, 1, 2, 2, 3][low & 7]!)
      }),
    )
  })
})

describe('hashKey', () => {
  it('spreads similar keys evenly', () => {
    const buckets = new Array<number>(64).fill(0)
    for (let i = 0; i < 64_000; i++) buckets[hashKey(`10.0.${i >> 8}.${i & 255}`) >>> 26]!++
    // Chi-square with 63 degrees of freedom: 103 is the 99.9 % point.
    const chi = buckets.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    expect(chi).toBeLessThan(103)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Finding } from './algorithm.ts'
import { Exact } from './exact.ts'
import { compile, FakeClock, request, SEED } from './exchange.fixture.ts'
import { Gcra } from './gcra.ts'
import { KeyHasher } from './key-hash.ts'
import { Sliding } from './sliding.ts'

const found = new Finding()
const hasher = new KeyHasher(SEED)
function keyOf(text: string): readonly [number, number] {
  hasher.reset()
  hasher.text(text)
  hasher.hash()
  return [hasher.high, hasher.low]
}

/** Times in milliseconds, in order, often several at once. */
const timeline = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3000 })), { maxLength: 300 })
  .map((gaps) => {
    let now = 0
    return gaps.map((gap) => (now += gap))
  })

function most(times: readonly number[], windowMs: number): number {
  let best = 0
  let from = 0
  for (let to = 0; to < times.length; to++) {
    while ((times[to] as number) - (times[from] as number) >= windowMs) from++
    best = Math.max(best, to - from + 1)
  }
  return best
}

describe('bounds that hold for any traffic', () => {
  it('sliding: never above the limit in any window, never stricter than a window and a segment', () => {
    fc.assert(
      fc.property(
        timeline,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 20 }),
        (times, limit, segments) => {
          const windowMs = 10_000
          const sliding = new Sliding({ limit, windowMs, segments, slots: 8 })
          const admitted: number[] = []
          for (const now of times) {
            if (sliding.peek(1, 2, now, 1, found)) {
              sliding.charge()
              admitted.push(now)
            } else {
              const longest = (segments + 1) * Math.ceil(windowMs / segments)
              const recent = admitted.filter((time) => now - time < longest)
              expect(recent.length).toBeGreaterThanOrEqual(limit)
            }
          }
          expect(most(admitted, windowMs)).toBeLessThanOrEqual(limit)
        },
      ),
    )
  })

  it('gcra: at most burst and the rate in any window, and a denial ends when it said', () => {
    fc.assert(
      fc.property(
        timeline,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 10 }),
        (times, limit, burst) => {
          const windowMs = 7000
          const gcra = new Gcra({ limit, windowMs, burst, slots: 8, startedAt: 0 })
          const admitted: number[] = []
          for (const now of times) {
            if (gcra.peek(1, 2, now, 1, found)) {
              gcra.charge()
              admitted.push(now)
            } else {
              const retry = found.retryMs
              // A hair more: a sum of milliseconds need not hold a tick (62.5 ns) exactly.
              expect(gcra.peek(1, 2, now + retry + 0.0001, 1, found)).toBe(true)
              expect(gcra.peek(1, 2, now + retry - 0.001, 1, found)).toBe(false)
            }
          }
          expect(most(admitted, windowMs)).toBeLessThanOrEqual(burst + limit)
        },
      ),
    )
  })

  it('exact: agrees with a plain list of times', () => {
    fc.assert(
      fc.property(timeline, fc.integer({ min: 1, max: 9 }), (times, limit) => {
        const exact = new Exact({ limit, windowMs: 5000, slots: 8 })
        let kept: number[] = []
        for (const now of times) {
          kept = kept.filter((time) => now - time < 5000)
          const allowed = exact.peek(1, 2, now, 1, found)
          expect(allowed).toBe(kept.length < limit)
          if (!allowed) continue
          exact.charge()
          kept.push(now)
          expect(found.remaining).toBe(limit - kept.length)
        }
      }),
    )
  })

  it('R5: a primed window, then a flood', () => {
    const sliding = new Sliding({ limit: 100, windowMs: 1000, segments: 10, slots: 8 })
    const gcra = new Gcra({ limit: 100, windowMs: 1000, burst: 100, slots: 8, startedAt: 0 })
    const times = [0, ...Array.from({ length: 1000 }, (_, i) => 960 + i / 10)]
    for (const [algorithm, bound] of [
      [sliding, 100],
      [gcra, 110],
    ] as const) {
      const admitted = times.filter((now) => {
        const allowed = algorithm.peek(1, 2, now, 1, found)
        if (allowed) algorithm.charge()
        return allowed
      })
      expect(most(admitted, 1000)).toBeGreaterThanOrEqual(100)
      expect(most(admitted, 1000)).toBeLessThanOrEqual(bound)
    }
  })
})

describe('a flood of keys', () => {
  it('gives abusers nothing, and refuses no innocent', () => {
    // 5 in 60 s; 4,096 slots; 50 abusers at six times their limit among 100,000 fresh keys a minute.
    const gcra = new Gcra({ limit: 5, windowMs: 60_000, burst: 5, slots: 4096, startedAt: 0 })
    const abusers = Array.from({ length: 50 }, (_, i) => keyOf(`abuser ${i}`))
    let byAbusers = 0
    let innocentDenied = 0
    for (let i = 0; i < 300_000; i++) {
      const now = (i * 60_000) / 100_000
      if (!gcra.peek(...keyOf(`fresh ${i}`), now, 1, found)) innocentDenied++
      else gcra.charge()
      if (i % 67 !== 0) continue
      if (gcra.peek(...(abusers[(i / 67) % 50] as readonly [number, number]), now, 1, found)) {
        gcra.charge()
        byAbusers++
      }
    }
    // Burst and three minutes of rate for each.
    expect(byAbusers).toBeLessThanOrEqual(50 * 20 * 1.05)
    expect(byAbusers).toBeGreaterThan(50 * 18)
    expect(innocentDenied).toBe(0)
    expect(gcra.displaced).toBeGreaterThan(100_000)
  })
})

describe('a table', () => {
  it('grows when a set is full, and forgets nothing: its decisions are those of one that had the room', () => {
    const options = { limit: 5, windowMs: 60_000, burst: 5, startedAt: 0 }
    const grown = new Gcra({ ...options, slots: 2 ** 20 })
    const first = grown.slots
    // Far more slots than keys: nothing is displaced whatever the order.
    const plain = new Map<string, Gcra>()
    const take = (table: Gcra, key: string, now: number) => {
      const allowed = table.take(...keyOf(key), now, 1, found)
      return `${allowed} ${found.remaining} ${found.resetMs}`
    }
    for (let i = 0; i < 60_000; i++) {
      const key = `key ${i < 30_000 ? i : (i * 7) % 30_000}`
      let alone = plain.get(key)
      if (alone === undefined) {
        alone = new Gcra({ ...options, slots: 8 })
        plain.set(key, alone)
      }
      const now = i / 10
      expect(take(grown, key, now)).toBe(take(alone, key, now))
    }
    expect(grown.slots).toBeGreaterThan(first)
    expect(grown.slots).toBeLessThanOrEqual(2 ** 18)
    expect([grown.displaced, grown.used(6000)]).toEqual([0, 30_000])
  })

  it('decides in one step as in two', () => {
    fc.assert(
      fc.property(timeline, fc.integer({ min: 1, max: 4 }), (times, cost) => {
        const make = () => new Gcra({ limit: 7, windowMs: 999, burst: 3, slots: 8, startedAt: 0 })
        const [one, two] = [make(), make()]
        for (const now of times) {
          const taken = [one.take(1, 2, now, cost, found), { ...found }]
          const allowed = two.peek(1, 2, now, cost, found)
          if (allowed) two.charge()
          const { retryMs } = found
          expect(taken).toEqual([
            allowed,
            allowed ? { ...found, retryMs: expect.anything() } : { ...found, retryMs },
          ])
        }
      }),
    )
  })

  it('takes millions of keys in the memory that it began with', () => {
    const limits = compile(
      [
        { id: 'a', limit: 5, window: '60s', burst: 5 },
        { id: 'b', limit: 5, window: '60s', algorithm: 'sliding' },
      ],
      new FakeClock(),
    )
    const x = request()
    const ip = { family: 4 as const, words: [0], text: '' }
    const spray = (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        ip.words[0] = Math.imul(i, 0x9e3779b1)
        // A client of its own each time, as connections are.
        const client = { ip, port: 1, peer: ip, viaTrustedProxy: false, tls: null }
        limits.check(Object.assign(x, { client }), 'address')
      }
      return process.memoryUsage()
    }
    // Until the tables are as large as they get, and the heap as large as what is young of it.
    const before = spray(0, 400_000)
    const after = spray(400_000, 1_200_000)
    expect(after.arrayBuffers).toBe(before.arrayBuffers)
    expect(after.rss - before.rss).toBeLessThan(32 * 1024 * 1024)
    expect(limits.usage().every(({ used }) => used > 100_000)).toBe(true)
  }, 60_000)
})

describe('the hash', () => {
  it('spreads keys over sets, and differs by seed, order and length', () => {
    const sets = new Uint32Array(256)
    for (let i = 0; i < 25_600; i++) {
      const [, low] = keyOf(`192.0.2.${i}`)
      const at = low & 255
      sets[at] = (sets[at] as number) + 1
    }
    expect(Math.max(...sets)).toBeLessThan(160)
    expect(Math.min(...sets)).toBeGreaterThan(55)
    const other = new KeyHasher(Uint8Array.from({ length: 8 }, (_, i) => i))
    const all = new Set<string>()
    for (const h of [hasher, other]) {
      for (const parts of [
        ['a', 'bc'],
        ['ab', 'c'],
        ['abc', ''],
        ['abc'],
        [],
        ['c', 'ab'],
        ['\0'],
        [''],
      ]) {
        h.reset()
        for (const part of parts) h.text(part)
        h.hash()
        all.add(`${h.high} ${h.low}`)
      }
    }
    expect(all.size).toBe(16)
  })

  it('grows for long keys', () => {
    hasher.reset()
    for (let i = 0; i < 40; i++) hasher.text('x'.repeat(300))
    hasher.hash()
    const first = hasher.low
    hasher.reset()
    for (let i = 0; i < 40; i++) hasher.text('x'.repeat(256))
    hasher.hash()
    expect(hasher.low).toBe(first)
  })
})

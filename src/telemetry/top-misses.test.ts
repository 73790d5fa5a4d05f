import { describe, expect, it } from 'vitest'
import { emptyRecord } from './record.ts'
import { mergeTopMisses, TopMisses } from './top-misses.ts'

const record = (path: string, cache = 'miss', cacheReason = 'uri-miss') => ({
  ...emptyRecord(),
  route: 'site',
  path,
  cache,
  cacheReason,
})

describe('what the cache misses most', () => {
  it('is told by the shape of the path, and only what was missed', () => {
    const misses = new TopMisses()
    for (let i = 0; i < 5; i++) misses.add(record(`/products/${i}/reviews/r${i}`))
    misses.add(record('/account', 'bypass', 'set-cookie'))
    for (const cache of ['hit', 'stale', 'revalidated', '']) misses.add(record('/a', cache))
    expect(misses.list(10)).toEqual([
      {
        route: 'site',
        path: '/products/*/reviews/*',
        outcome: 'miss',
        reason: 'uri-miss',
        count: 5,
        error: 0,
      },
      {
        route: 'site',
        path: '/account',
        outcome: 'bypass',
        reason: 'set-cookie',
        count: 1,
        error: 0,
      },
    ])
    expect(misses.list(1)).toHaveLength(1)
  })

  it('keeps what is frequent through a flood of what is not, in fixed memory', () => {
    const misses = new TopMisses(16)
    const word = (i: number) =>
      i.toString(26).replace(/\d/g, (digit) => 'qrstuvwxyz'[Number(digit)]!)
    for (let i = 0; i < 20_000; i++) {
      misses.add(record(`/${word(i)}`))
      if (i % 4 === 0) misses.add(record('/often'))
    }
    const all = misses.list(1000)
    expect(all).toHaveLength(16)
    const often = all.find(({ path }) => path === '/often')
    expect(often?.count).toBeGreaterThanOrEqual(5000)
    expect((often?.count ?? 0) - (often?.error ?? 0)).toBeLessThanOrEqual(5000)
  })

  it('of several processes is added up', () => {
    const [one, two] = [new TopMisses(), new TopMisses()]
    one.add(record('/a'))
    two.add(record('/b'))
    two.add(record('/a'))
    const merged = mergeTopMisses([one.list(9), two.list(9)], 9)
    expect(merged.map(({ path, count }) => [path, count])).toEqual([
      ['/a', 2],
      ['/b', 1],
    ])
  })
})

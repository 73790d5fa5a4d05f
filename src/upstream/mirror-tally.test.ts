import { describe, expect, it } from 'vitest'
import { type MirrorStatus, mergeMirrors } from '../admin/mirror-view.ts'
import type { MirrorReport } from './mirror.ts'
import { MirrorTally, MOST_DIFFERENCES } from './mirror-tally.ts'

const report = (result: MirrorReport['result'], mirrorStatus = 200): MirrorReport => ({
  ...{ result, status: 200, mirrorStatus, mirrorMs: 40, body: '2-a-b', mirrorBody: '3-c-d' },
})

function tallyOf(reports: readonly MirrorReport[]): MirrorTally {
  const tally = new MirrorTally()
  for (const [i, one] of reports.entries()) {
    tally.add(one, { method: 'GET', path: `/${i}` }, 1000 + i, 1e12 + i)
  }
  return tally
}

describe('what came of a mirror', () => {
  it('is counted by result and pair of statuses, with the latest differences', () => {
    const { results, statuses, differences, p95Ms } = tallyOf([
      ...[report('match'), report('match'), report('body'), report('failed', 0)],
      ...[
        report('status', 500),
        report('status', 404),
        report('status', 500),
        report('dropped', 0),
      ],
    ]).counts(2000)
    expect(results).toEqual({ match: 2, status: 3, body: 1, unknown: 0, failed: 1, dropped: 1 })
    expect(statuses).toEqual([
      { status: 200, mirrorStatus: 500, requests: 2 },
      { status: 200, mirrorStatus: 404, requests: 1 },
    ])
    expect(differences.map(({ path, what }) => `${path} ${what}`)).toEqual([
      '/6 status',
      '/5 status',
      '/4 status',
      '/2 body',
    ])
    expect(differences[3]).toMatchObject({ body: '2-a-b', mirrorBody: '3-c-d', at: 1e12 + 2 })
    expect(p95Ms).toBeGreaterThanOrEqual(40)
    expect(p95Ms).toBeLessThan(50)
  })

  it('takes bounded memory, and loses no count', () => {
    const { statuses, otherStatuses, differences, results } = tallyOf(
      Array.from({ length: 400 }, (_, i) => report('status', 200 + i)),
    ).counts(2000)
    expect(statuses.length).toBeLessThanOrEqual(64)
    expect(statuses.length + otherStatuses).toBe(400)
    expect(results.status).toBe(400)
    expect(differences).toHaveLength(MOST_DIFFERENCES)
    expect(differences[0]?.path).toBe('/399')
  })

  it('of several processes is one', () => {
    const status = (...reports: MirrorReport[]): MirrorStatus => ({
      ...{ mirror: 'shop', pool: 'cloud', percent: 5, underWay: 1 },
      ...tallyOf(reports).counts(2000),
    })
    const [merged, ...rest] = mergeMirrors([
      [status(report('match'), report('status', 500))],
      [status(report('status', 500), report('body'))],
      [{ ...status(), mirror: 'other' }],
    ])
    expect(rest).toHaveLength(1)
    expect(merged).toMatchObject({
      underWay: 2,
      results: { match: 1, status: 2, body: 1 },
      statuses: [{ status: 200, mirrorStatus: 500, requests: 2 }],
    })
    expect(merged?.differences.map(({ path }) => path)).toEqual(['/1', '/1', '/0'])
    expect(mergeMirrors([[status()]])[0]?.p95Ms).toBeNull()
  })
})

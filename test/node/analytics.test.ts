/** Requests through a gateway are found again by `meridian analytics`, each once. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inProcess } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { refusingUrl } from '../harness/origin.ts'
import { until } from '../harness/wait.ts'
import { pool, world } from '../harness/world.ts'

interface Answer {
  readonly requests: number
  readonly counted: number
  readonly groups: readonly Record<string, unknown>[]
}

describe('meridian analytics', () => {
  it('answers from the files of a gateway that runs, and of one that has stopped', async () => {
    const w = world()
    const origin = await w.origin((request, response) => {
      response.writeHead(200, request.url === '/kept' ? { 'cache-control': 'max-age=60' } : {})
      response.end('x'.repeat(10_000))
    })
    const gateway = await w.gateway({
      trustedProxies: ['127.0.0.1'],
      pools: { app: pool([origin]), down: pool([{ url: await refusingUrl() }]) },
      regions: [
        {
          id: 'eu-central-1',
          cloud: 'aws:eu-central-1',
          pools: ['app'],
          egressPrice: 90,
          requestPrice: 100,
        },
      ],
      waf: { rulesets: ['basic'] },
      routes: [
        { id: 'down', match: { path: '/down' }, pools: ['down'] },
        { id: 'site', cache: {} },
      ],
      telemetry: {
        analytics: { dir: 'analytics' },
        currency: 'EUR',
        access: { sample: 0 },
      },
    })
    const dir = join(gateway.folder, 'analytics')
    const german = { headers: { 'x-forwarded-for': '91.10.12.34' } }
    const paths = ['/kept', '/kept', '/kept', '/once', '/down', "/?id=1'%20OR%20'1'='1"]
    for (const path of paths) await ask(`${gateway.url}${path}`, german)
    const answer = async (verb: string, ...more: string[]): Promise<Answer> => {
      const { code, out, err } = await inProcess(['analytics', verb, '--json', ...more])
      expect([code, err]).toEqual([0, ''])
      return JSON.parse(out)
    }
    const all = await until('all records on disk', async () => {
      const { requests } = await answer('top', '--dir', dir).catch(() => ({ requests: 0 }))
      return requests === paths.length
    })
    expect(all).toBe(true)

    expect((await answer('top', '--dir', dir)).groups[0]).toMatchObject({
      path: '/kept',
      requests: 3,
      share: 0.5,
      bytes_out: 30_000,
      errors: 0,
    })
    const byCache = await answer('top', '--dir', dir, '--by', 'route,cache', '--limit', '2')
    expect(byCache.groups[0]).toMatchObject({ route: 'site', cache: 'hit', requests: 2 })
    expect(await answer('errors', '--config', gateway.file)).toMatchObject({
      requests: 6,
      counted: 1,
      groups: [{ outcome: 'origin-connect', requests: 1 }],
    })
    const blocked = await answer('blocked', '--dir', dir)
    expect(blocked.counted).toBe(1)
    expect(blocked.groups.every(({ outcome }) => outcome === 'blocked')).toBe(true)
    expect((await answer('geo', '--dir', dir)).groups).toMatchObject([
      { country: 'DE', requests: 6 },
    ])
    expect((await answer('top', '--dir', dir, '--until', '1h')).requests).toBe(0)

    await gateway.running.close()
    const cost = await inProcess(['analytics', 'cost', '--config', gateway.file, '--json'])
    const figures = JSON.parse(cost.out)
    // Two answers of 10 kB from the region, two of them from the cache.
    expect(figures).toMatchObject({ currency: 'EUR', regions: [{ requests: 2, tries: 2 }] })
    expect(figures.cost).toBeCloseTo(2 * (1e-5 * 90 + 1e-4))
    expect(figures.savedByCache).toBeCloseTo(2 * (1e-5 * 90 + 1e-4))
    const printed = await inProcess(['analytics', 'cost', '--config', gateway.file])
    expect(printed.out).toMatch(/cost 0\.002000 EUR, saved by the cache 0\.002000 EUR/)
  })

  it.each([
    { args: ['top', '--since', 'yesterday'], says: /--since yesterday is no time/, code: 2 },
    { args: ['top', '--since', '1h', '--until', '2h'], says: /not before/, code: 2 },
    { args: ['top', '--by', 'colour'], says: /no such field[\s\S]*rule, hour, id/, code: 2 },
    { args: ['top', '--limit', '0'], says: /from 1/, code: 2 },
    { args: ['top', '--config', 'plain.json'], says: /keeps no requests/, code: 1 },
    { args: ['top', '--config', 'none.json'], says: /there is no config/, code: 1 },
    { args: ['top', '--dir', 'empty'], says: /no records in/, code: 1 },
    { args: ['cost', '--config', 'plain.json'], says: /has no prices/, code: 1 },
  ])('refuses $args', async ({ args, says, code }) => {
    const w = world()
    const plain = { pools: { app: { origins: [{ url: 'http://127.0.0.1:1' }] } } }
    writeFileSync(
      join(w.folder, 'plain.json'),
      JSON.stringify({ ...plain, routes: [{ pools: ['app'] }] }),
    )
    const placed = args.map((one) =>
      one.endsWith('.json') || one === 'empty' ? join(w.folder, one) : one,
    )
    const result = await inProcess(['analytics', ...placed])
    expect(result.err).toMatch(says)
    expect(result.code).toBe(code)
  })

  it('a folder that cannot be used is an error of the config', async () => {
    const w = world()
    w.put('taken', 'a file')
    const start = w.gateway({
      pools: { app: { origins: [{ url: 'http://127.0.0.1:1' }] } },
      routes: [{ id: 'all', pools: ['app'] }],
      telemetry: { analytics: { dir: join(w.folder, 'taken') } },
    })
    await expect(start).rejects.toThrow(/telemetry\.analytics\.dir.*cannot be used/)
  })
})

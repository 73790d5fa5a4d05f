/** Regions drained and enabled on a gateway that serves: over its control port, and by the command. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ControlRegion } from '../../src/admin/regions-view.ts'
import { meridian } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { pool, type TestConfig, type World, withDefaults, world } from '../harness/world.ts'

const json = { 'content-type': 'application/json' }

async function order(control: string, path: string, body: object = {}) {
  return ask(`${control}${path}`, { method: 'POST', headers: json, body: JSON.stringify(body) })
}

async function regionOf(control: string, name: string): Promise<ControlRegion | undefined> {
  const { regions } = (await ask(`${control}/regions`)).json<{ regions: ControlRegion[] }>()
  return regions.find((region) => region.name === name)
}

async function twoRegions(w: World, more: Partial<TestConfig> = {}) {
  const release: (() => void)[] = []
  const near = await w.origin((request, response) => {
    if (request.url === '/slow') release.push(() => response.end('near'))
    else response.end('near')
  })
  const far = await w.origin((_request, response) => response.end('far'))
  const config: TestConfig = {
    pools: { near: pool([near]), far: pool([far]) },
    regions: [
      { id: 'near', latitude: 50, longitude: 8, tags: [], pools: ['near'] },
      { id: 'far', latitude: 1, longitude: 103, tags: [], pools: ['far'] },
    ],
    steering: { policy: 'failover', order: ['near', 'far'] },
    routes: [
      { id: 'fixed', match: { path: '/fixed' }, pools: ['near', 'far'] },
      { id: 'only', match: { path: '/only' }, pools: ['near'] },
      { id: 'site' },
    ],
    ...more,
  }
  return { near, far, release, config }
}

describe('a drained region', () => {
  it('takes nothing new, ends what it has, and stays so over a reload', async () => {
    const w = world()
    const { near, release, config } = await twoRegions(w)
    const g = await w.gateway(config)
    const control = g.running.control as string
    const get = async (path: string) => (await ask(`${g.url}${path}`)).text
    const slow = ask(`${g.url}/slow`)
    await until('a request under way', () => release.length === 1)
    expect([await get('/'), await get('/fixed')]).toEqual(['near', 'near'])

    const drained = await order(control, '/regions/near/drain', { reason: 'new disk' })
    expect(drained.json()).toMatchObject({
      region: { state: 'draining', drained: true, inflight: 1, by: 'local', reason: 'new disk' },
      workers: 1,
      of: 1,
    })
    const before = near.hits.length
    expect([await get('/'), await get('/fixed')]).toEqual(['far', 'far'])
    expect((await ask(`${g.url}/only`)).status).toBe(503)
    const explained = (await ask(`${control}/explain?url=/`)).json<{
      steps: { step: string; detail: { candidates?: object[] } }[]
    }>()
    const steer = explained.steps.find((one) => one.step === 'steer')
    expect(steer?.detail.candidates).toMatchObject([
      { region: 'near', outcome: 'drained' },
      { region: 'far', outcome: 'chosen' },
    ])
    expect(await g.metric('meridian_region_drained', { region: 'near' })).toBe(1)

    g.write({ ...config, routes: [{ id: 'site', match: { path: '/' } }, { id: 'rest' }] })
    await until(
      'the reload',
      async () => (await get('/other')) === 'far' && (await get('/fixed')) === 'far',
    )
    expect(near.hits).toHaveLength(before)
    for (const finish of release) finish()
    expect((await slow).text).toBe('near')
    await until('nothing under way', async () => (await regionOf(control, 'near'))?.inflight === 0)
    expect(await regionOf(control, 'near')).toMatchObject({ state: 'drained' })

    expect((await order(control, '/regions/near/enable')).json()).toMatchObject({
      region: { state: 'up', drained: false },
    })
    expect(await get('/')).toBe('near')
    expect((await ask(`${control}/events?kind=steering`)).text).toContain('region-drained')
  })

  it('comes back by itself', async () => {
    const w = world()
    const { config } = await twoRegions(w)
    const g = await w.gateway(config)
    const control = g.running.control as string
    const get = async () => (await ask(g.url)).text
    expect((await order(control, '/regions/near/drain', { for: '1s' })).status).toBe(200)
    expect(await get()).toBe('far')
    await until('its return', async () => (await get()) === 'near')
    expect(await regionOf(control, 'near')).toMatchObject({ drained: false, until: null })
  })
})

describe('in worker processes', { timeout: 60_000 }, () => {
  it('a drain reaches all, and the worker that takes the place of one that dies', async () => {
    const w = world()
    const { near, config } = await twoRegions(w)
    const file = w.put(
      'meridian.json',
      JSON.stringify(
        withDefaults({ ...config, workers: 2, admin: { audit: { file: 'audit.log' } } }, w.folder),
      ),
    )
    const run = program('cli/main.js', ['start', '--config', file])
    const url = await run.says(/listening on (http:\/\/\S+)/)
    const control = await run.says(/control port on (http:\/\/\S+)/)
    const everywhere = async () =>
      new Set(
        await Promise.all(
          Array.from({ length: 12 }, async () => {
            const answer = await ask(url, { headers: { connection: 'close' } })
            return answer.text
          }),
        ),
      )
    const cli = (...args: string[]) => meridian([...args, '--control', control])
    const told = await cli('drain', 'near', '--reason', 'new disk')
    expect(told).toMatchObject({ code: 0, err: '' })
    expect(told.out).toMatch(
      /near is drain(ed|ing) in 2 processes, \d requests under way, by local: new disk/,
    )
    expect(await everywhere()).toEqual(new Set(['far']))

    const children = () =>
      readFileSync(`/proc/${run.pid}/task/${run.pid}/children`, 'utf8')
        .trim()
        .split(' ')
        .map(Number)
    const [first] = children()
    process.kill(first as number, 'SIGKILL')
    await until(
      'a new worker',
      async () => {
        const { workers } = (await ask(`${control}/status`)).json<{ workers: number }>()
        const now = children()
        return workers === 2 && now.length === 2 && !now.includes(first as number)
      },
      30_000,
    )
    const before = near.hits.length
    expect(await everywhere()).toEqual(new Set(['far']))
    expect(near.hits).toHaveLength(before)
    expect((await cli('drain')).out).toMatch(/near +drained +0 under way +by local: new disk/)
    expect((await cli('drain', 'nowhere')).err).toContain('There is no region "nowhere"')
    expect((await cli('drain', 'near', '--for', '1m', '--until', 'x')).code).toBe(2)
    expect((await cli('enable', 'near')).out).toMatch(/near is up in 2 processes/)
    expect(await everywhere()).toContain('near')

    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
    const verified = await meridian(['audit', 'verify', join(w.folder, 'audit.log')])
    expect(verified.out).toMatch(/^ok: 3 entries, 1 to 3/)
  })
})

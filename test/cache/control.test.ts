/** Purging, warming and looking, as people do it: with the command, at a running gateway. */
import { describe, expect, it } from 'vitest'
import { inProcess } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { sumOf, type TestGateway, withDefaults, world } from '../harness/world.ts'

const FRESH = { 'cache-control': 'max-age=600' }

/** A gateway whose origin counts, and the command pointed at it. */
async function cached(cache: object = {}) {
  const w = world()
  const origin = await w.origin((request, response) => {
    response.writeHead(200, { ...FRESH, 'cache-tag': 'all, odd', etag: '"1"' })
    response.end(`body of ${request.url}`)
  })
  const gateway = await w.gateway({
    pools: { app: { origins: [{ id: 'a', url: origin.url }] } },
    routes: [{ id: 'site', pools: ['app'], cache }],
  })
  const command = (...args: string[]) =>
    inProcess([...args, '--control', gateway.running.control as string])
  return { origin, gateway, command, url: `${gateway.url}/a?x=1` }
}

async function outcome(gateway: TestGateway, path: string): Promise<string> {
  const field = (await ask(`${gateway.url}${path}`)).get('cache-status') ?? ''
  return /; (hit|fwd=[a-z-]+)/.exec(field)?.[1] ?? field
}

describe('meridian purge', () => {
  it.each([
    { args: (url: string) => [url], gone: true },
    { args: (url: string) => [url.replace('http://', '')], gone: true },
    { args: (url: string) => [url.replace('x=1', 'x=2')], gone: false },
    { args: (url: string) => ['--host', new URL(url).host], gone: true },
    { args: (url: string) => ['--prefix', `${new URL(url).host}/`], gone: true },
    { args: (url: string) => ['--prefix', `${new URL(url).host}/b`], gone: false },
    { args: () => ['--tag', 'odd'], gone: true },
    { args: () => ['--everything'], gone: true },
    { args: () => ['--everything', '--dry-run'], gone: false },
  ])('$#: takes it: $gone', async ({ args, gone }) => {
    const { gateway, command, url } = await cached()
    await ask(url)
    const { code, out, err } = await command('purge', ...args(url))
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/purged/)
    expect(await outcome(gateway, '/a?x=1')).toBe(gone ? 'fwd=uri-miss' : 'hit')
  })

  it('knows the URL as it is forwarded', async () => {
    const { gateway, command } = await cached({
      key: { query: { mode: 'exclude', names: ['utm_*'], sort: true } },
    })
    await ask(`${gateway.url}/a?b=2&a=1&utm_source=x`)
    await command('purge', `${gateway.url}/a?utm_source=y&b=2&a=1`)
    expect(await outcome(gateway, '/a?a=1&b=2')).toBe('fwd=uri-miss')
  })

  it('softly: the next request validates', async () => {
    const { gateway, command, url } = await cached()
    await ask(url)
    expect((await command('purge', '--soft', url)).out).toContain('marked as stale')
    expect(await outcome(gateway, '/a?x=1')).toBe('fwd=stale')
  })

  it('leaves a trace', async () => {
    const { gateway, command, url } = await cached()
    await command('purge', url, '--key', 'deploy-17')
    await command('purge', url, '--key', 'deploy-17')
    const { events } = await (await fetch(`${gateway.running.control}/events`)).json()
    expect(events.filter((event: { what: string }) => event.what === 'cache-purged')).toMatchObject(
      [{ kind: 'system', detail: { id: 'deploy-17', by: '127.0.0.1', mode: 'hard', urls: [url] } }],
    )
    expect(gateway.log.map(({ message }) => message)).toContain('cache purged')
    expect(await gateway.metric('meridian_cache_purges_total')).toBe(1)
  })

  it.each([
    { args: ['purge'], code: 2, err: 'say what to purge' },
    { args: ['purge', 'not a url'], code: 1, err: 'urls' },
    { args: ['purge', '--everything', '--token-env', 'NO_SUCH_VARIABLE'], code: 2, err: 'not set' },
    { args: ['cache', 'get', 'nothing here'], code: 1, err: 'absolute URL' },
    { args: ['warm'], code: 2, err: 'name URLs' },
  ])('$args is refused', async ({ args, code, err }) => {
    const { command } = await cached()
    const result = await command(...args)
    expect(result.code).toBe(code)
    expect(result.err).toContain(err)
  })

  it('says when nobody answers', async () => {
    const result = await inProcess(['purge', '--everything', '--control', 'http://127.0.0.1:1'])
    expect(result.code).toBe(1)
    expect(result.err).toContain('does not answer')
  })
})

it('meridian warm stores what it names; meridian cache shows it', async () => {
  const { origin, gateway, command, url } = await cached()
  const warmed = await command('warm', url, `${gateway.url}/b`)
  expect(warmed.code).toBe(0)
  expect(warmed.out.split('\n')[0]).toMatch(/^200 +\d+ +http.*stored/)
  expect(origin.hits).toHaveLength(2)
  expect(await outcome(gateway, '/a?x=1')).toBe('hit')
  const got = await command('cache', 'get', url, '--json')
  expect(JSON.parse(got.out)).toMatchObject([
    { tier: 'memory', url, state: 'fresh', status: 200, etag: '"1"', tags: ['all', 'odd'] },
  ])
  expect((await command('cache', 'get', url)).out).toMatch(/state +fresh, age \d s/)
  const missing = await command('cache', 'get', `${gateway.url}/none`)
  expect([missing.code, missing.out]).toEqual([1, `nothing is stored for ${gateway.url}/none\n`])
  await gateway.records(3)
  const stats = JSON.parse((await command('cache', 'stat', '--json')).out)
  expect(stats).toMatchObject({
    workers: 1,
    tiers: [{ name: 'memory', entries: 2 }],
    routes: [{ route: 'site', requests: 3, hits: 1, hitRatio: 0.3333 }],
  })
  expect((await command('cache', 'stat')).out).toMatch(/site +3 +33\.3 %/)
})

describe('several worker processes', () => {
  it('purge together, and tell each other what unsafe requests invalidate', async () => {
    const w = world()
    let version = 0
    const origin = await w.origin((request, response) => {
      response.writeHead(200, request.method === 'GET' ? FRESH : {})
      response.end(`version ${version}`)
    })
    const config = withDefaults(
      {
        workers: 2,
        pools: { app: { origins: [{ id: 'a', url: origin.url }] } },
        routes: [{ id: 'site', pools: ['app'], cache: {} }],
      },
      w.folder,
    )
    const file = w.put('meridian.json', JSON.stringify(config))
    const main = program('cli/main.js', ['start', '--config', file])
    const url = `${await main.says(/listening on (http:\S+)/)}/a`
    const control = await main.says(/control port on (http:\S+)/)
    const entries = async () =>
      sumOf(await (await fetch(`${control}/metrics`)).text(), 'meridian_cache_entries')
    /** Connections are dealt out in turn: after a few both workers have it. */
    const askAll = () => Promise.all(Array.from({ length: 8 }, () => ask(url)))
    const both = () =>
      until('both have it', async () => {
        await askAll()
        return (await entries()) === 2 ? true : undefined
      })
    const texts = async () => new Set((await askAll()).map(({ text }) => text))
    await both()

    version = 1
    const { code, out } = await inProcess(['purge', url, '--control', control])
    expect(code).toBe(0)
    expect(out).toContain('purged in 2 processes')
    expect(await texts()).toEqual(new Set(['version 1']))

    await both()
    version = 2
    await ask(url, { method: 'POST', body: 'x' })
    expect(
      await until('nobody has the old one', async () => {
        const seen = await texts()
        return seen.has('version 1') ? undefined : seen
      }),
    ).toEqual(new Set(['version 2']))
    const stats = await (await fetch(`${control}/cache/stats`)).json()
    expect(stats).toMatchObject({ workers: 2 })
    // The first of each worker, after the purge, and after what invalidated it.
    const { misses } = await (await fetch(`${control}/cache/top-misses`)).json()
    const path = new URL(url).pathname
    const missed = misses.filter((one: { outcome: string }) => one.outcome === 'miss')
    expect(missed[0]).toMatchObject({ path, outcome: 'miss', error: 0 })
    expect(missed[0].count).toBeGreaterThanOrEqual(4)
    const { events } = await (await fetch(`${control}/events`)).json()
    expect(events.filter(({ what }: { what: string }) => what === 'cache-purged')).toHaveLength(1)
  })
})

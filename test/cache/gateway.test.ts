/** The cache inside a gateway: its disk, its work in the background, its metrics. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import type { HttpOrigin } from '../harness/origin.ts'
import { until } from '../harness/wait.ts'
import { proxyTo, type TestConfig, world } from '../harness/world.ts'

function cached(origin: HttpOrigin, more: Partial<TestConfig> = {}): TestConfig {
  return { ...proxyTo([origin]), routes: [{ id: 'site', pools: ['app'], cache: {} }], ...more }
}

const status = (field: string | undefined) => /^meridian; (hit|fwd=[a-z-]+)/.exec(field ?? '')?.[1]

describe('the disk', () => {
  it.each(['plain', 'encrypted'])('outlives the process, %s', async (kind) => {
    const w = world()
    const origin = await w.origin((_, response) => {
      response.setHeader('Cache-Control', 'max-age=600')
      response.end('kept')
    })
    const directory = join(w.folder, 'disk')
    const key = kind === 'plain' ? {} : { key: { file: w.put('disk.key', `${'0f'.repeat(32)}\n`) } }
    const config = cached(origin, { cache: { disk: { directory, ...key } } })
    const first = await w.gateway(config)
    const host = new URL(first.url).host
    expect(status((await ask(`${first.url}/a`)).get('cache-status'))).toBe('fwd=uri-miss')
    await until('the file is there', () => (files(directory).length === 1 ? true : undefined))
    await first.running.close()

    const second = await w.gateway(config)
    const hit = await ask(`${second.url}/a`, { headers: { host } })
    expect([hit.text, status(hit.get('cache-status'))]).toEqual(['kept', 'hit'])
    expect(origin.hits).toHaveLength(1)
    expect(await second.metric('meridian_cache_entries', { tier: 'disk' })).toBe(1)
  })

  it.each([
    { folder: 'disk', key: 'not a key', path: 'cache.disk.key' },
    { folder: 'disk.key/cache', key: '0f'.repeat(32), path: 'cache.disk.directory' },
  ])('a bad $path is said at the start', async ({ folder, key, path }) => {
    const w = world()
    const disk = { directory: join(w.folder, folder), key: { file: w.put('disk.key', key) } }
    await expect(w.gateway(cached(await w.origin(), { cache: { disk } }))).rejects.toThrow(path)
  })
})

describe('work in the background', () => {
  it('leaves the exchange of the client alone', async () => {
    const w = world()
    let version = 0
    const origin = await w.origin((_, response) => {
      version++
      response.setHeader('Cache-Control', 'max-age=0, stale-while-revalidate=60')
      response.setHeader('ETag', `"${version}"`)
      response.end(`version ${version}`)
    })
    const gateway = await w.gateway(cached(origin))
    await ask(`${gateway.url}/a`)
    const stale = await ask(`${gateway.url}/a`)
    expect([stale.text, status(stale.get('cache-status'))]).toEqual(['version 1', 'hit'])
    await until('the refresh', () => (origin.hits.length === 2 ? true : undefined))
    const lines = await gateway.records(2)
    expect(lines[1]).toMatchObject({ cache: 'stale' })
    expect(lines[1]?.attempts ?? []).toEqual([])
    expect(lines[1]?.region ?? '').toBe('')
    await until('it is stored', async () => (await ask(`${gateway.url}/a`)).text !== 'version 1')
    expect(origin.hits.length).toBeGreaterThanOrEqual(2)
  })
})

it('interim responses pass on a miss and are never stored', async () => {
  const w = world()
  const origin = await w.origin((_, response) => {
    response.writeProcessing()
    response.writeEarlyHints({ link: '</style.css>; rel=preload' })
    setTimeout(() => {
      response.writeHead(200, { 'cache-control': 'max-age=60' })
      response.end('x')
    }, 20)
  })
  const gateway = await w.gateway(cached(origin))
  const miss = await ask(`${gateway.url}/a`)
  expect(miss.interim.map((one) => one.status)).toEqual([102, 103])
  const hit = await ask(`${gateway.url}/a`)
  expect([hit.text, status(hit.get('cache-status')), hit.interim]).toEqual(['x', 'hit', []])
  expect(hit.get('link')).toBeUndefined()
})

it('lets methods in that the config adds, and caches around them', async () => {
  const w = world()
  const origin = await w.origin((request, response) => {
    response.writeHead(200, request.method === 'GET' ? { 'cache-control': 'max-age=60' } : {})
    response.end(request.method)
  })
  const plain = await w.gateway(cached(origin))
  expect((await ask(`${plain.url}/a`, { method: 'M-SEARCH' })).status).toBe(405)
  const listen = { methods: ['M-SEARCH', 'PROPFIND'] }
  const more = await w.gateway(cached(origin, { listen }))
  await ask(`${more.url}/a`)
  for (const [method, then] of [
    ['PROPFIND', 'hit'],
    ['M-SEARCH', 'fwd=uri-miss'],
  ] as const) {
    expect((await ask(`${more.url}/a`, { method })).text).toBe(method)
    expect(status((await ask(`${more.url}/a`)).get('cache-status'))).toBe(then)
  }
})

it('counts what it did, by route', async () => {
  const w = world()
  let finish = () => {}
  const origin = await w.origin((request, response) => {
    if (request.url === '/shared') {
      response.setHeader('Cache-Control', 'max-age=60')
      finish = () => response.end('x'.repeat(1000))
    } else response.end('x'.repeat(1000))
  })
  const gateway = await w.gateway(cached(origin))
  const five = Array.from({ length: 5 }, () => ask(`${gateway.url}/shared`))
  await until('all five are under way', async () => {
    return (await gateway.metric('meridian_http_requests_in_flight')) === 5
  })
  finish()
  await Promise.all(five)
  await ask(`${gateway.url}/shared`)
  await ask(`${gateway.url}/other`)
  await gateway.records(7)
  expect(await gateway.metric('meridian_cache_collapsed_total')).toBe(4)
  expect(await gateway.metric('meridian_cache_fills_total')).toBe(2)
  expect(
    await gateway.metric('meridian_cache_response_bytes_total', { route: 'site', cache: 'hit' }),
  ).toBe(1000)
  expect(await gateway.metric('meridian_cache_response_bytes_total', { route: 'site' })).toBe(7000)
  expect(await gateway.metric('meridian_cache_evictions_total', { tier: 'memory' })).toBe(0)
})

function files(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /[0-9a-f]{56}$/.test(name),
  )
}

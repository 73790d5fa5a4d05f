/**
 * `npm run edge:dev`: the Worker on this machine, with three regions of its own. Say where you are with
 * `x-demo-country: DE`; break a region with `curl -X POST http://127.0.0.1:PORT/break` (printed below).
 */

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'

const root = fileURLToPath(new URL('..', import.meta.url))
const port = Number(process.env.PORT ?? 8787)
const TOKEN = 'edge-demo-token'

/** One region: says who it is; `/break` and `/mend` are for you. */
function region(id) {
  let isBroken = false
  const server = createServer((request, response) => {
    if (request.method === 'POST' && request.url === '/break') isBroken = true
    if (request.method === 'POST' && request.url === '/mend') isBroken = false
    response.statusCode = isBroken && request.url !== '/break' ? 503 : 200
    response.setHeader('x-region', id)
    response.setHeader(
      'cache-control',
      request.url?.startsWith('/cached') ? 'max-age=60' : 'no-store',
    )
    response.end(`${id} ${isBroken ? 'is broken' : 'answers'}\n`)
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ id, server, port: server.address().port }))
  })
}

const regions = await Promise.all(['eu-central-1', 'us-east-1', 'ap-southeast-1'].map(region))
const config = {
  geo: {
    providers: ['headers'],
    headers: { country: 'x-demo-country' },
    gateway: { region: 'eu-central-1' },
  },
  // On this machine the client is the proxy in front, whose word for the country counts.
  trustedProxies: ['127.0.0.1'],
  pools: Object.fromEntries(
    regions.map(({ id, port: at }) => [
      id,
      {
        origins: [{ id, url: `http://127.0.0.1:${at}` }],
        health: { path: '/healthz', interval: '2s', timeout: '1s' },
      },
    ]),
  ),
  regions: regions.map(({ id }) => ({ id, cloud: `aws:${id}`, pools: [id] })),
  limits: [{ id: 'per-client', limit: 100, window: '10s', burst: 50 }],
  routes: [{ id: 'cached', match: { path: '/cached' }, cache: {} }, { id: 'site' }],
}

const bundled = await build({
  stdin: {
    contents: `
      import { createWorker } from './src/runtimes/workers/worker.ts'
      export { CounterShard, HealthProber, NoticeBoard } from './src/runtimes/workers/worker.ts'
      export default createWorker(${JSON.stringify({
        config: JSON.stringify(config),
        rulesets: { managed: readFileSync(`${root}rules/managed.json`, 'utf8') },
      })})`,
    resolveDir: root,
  },
  bundle: true,
  write: false,
  format: 'esm',
  target: 'es2024',
  platform: 'neutral',
  mainFields: ['module', 'main'],
  conditions: ['workerd', 'worker', 'import'],
  external: ['node:*', 'cloudflare:*'],
})
const worker = new Miniflare({
  modules: true,
  script: bundled.outputFiles[0].text,
  compatibilityDate: '2026-04-01',
  compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
  bindings: { PLATFORM: 'local', EDGE_TOKEN: TOKEN },
  durableObjects: {
    COUNTERS: { className: 'CounterShard', useSQLite: true },
    PROBER: { className: 'HealthProber', useSQLite: true },
    NOTICES: { className: 'NoticeBoard', useSQLite: true },
  },
  kvNamespaces: ['CONFIG'],
  cf: false,
  host: '127.0.0.1',
  port,
})
const url = (await worker.ready).origin
console.log(`
The Worker: ${url}
  curl -H 'x-demo-country: DE' ${url}/
  curl -H 'x-demo-country: US' -i ${url}/cached/page
  curl "${url}/?id=1%27%20union%20select%20null--"
  curl -H 'authorization: Bearer ${TOKEN}' ${url}/.meridian/health
  curl -H 'authorization: Bearer ${TOKEN}' "${url}/.meridian/explain?url=/"
Regions, to break and to mend:`)
for (const { id, port: at } of regions)
  console.log(`  curl -X POST http://127.0.0.1:${at}/break   # ${id}`)

const stop = async () => {
  await worker.dispose()
  for (const { server } of regions) {
    server.close()
    server.closeAllConnections()
  }
}
process.once('SIGINT', () => void stop())
process.once('SIGTERM', () => void stop())

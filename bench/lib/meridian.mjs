/** The gateway itself, as a user starts it: the command line with a config file. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { profileArgs } from './profile.mjs'
import { freePort, startOnPort } from './server-process.mjs'

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

function base(port, origin) {
  return {
    listen: { addresses: [{ address: '127.0.0.1', port }] },
    trustedProxies: ['127.0.0.1'],
    admin: { enabled: false },
    pools: { app: { origins: [{ url: origin }] } },
  }
}

const OFF = {
  telemetry: { access: { enabled: false }, metrics: { enabled: false } },
  waf: { mode: 'off' },
}

/** One route, one pool, nothing else. */
export function everythingOff(port, origin) {
  return {
    ...base(port, origin),
    ...OFF,
    routes: [{ id: 'app', pools: ['app'] }],
  }
}

/** A cache and nothing else. */
export function cacheOnly(port, origin) {
  return {
    ...base(port, origin),
    ...OFF,
    routes: [{ id: 'app', pools: ['app'], cache: {} }],
  }
}

/** Geo and steering, basic WAF rules, a limit by address, the cache, metrics, and an access log on disk. */
export function everythingOn(port, origin, folder) {
  return {
    ...base(port, origin),
    regions: [{ id: 'eu-central-1', pools: ['app'] }],
    waf: { rulesets: ['managed'] },
    limits: [{ id: 'per-client', limit: 1_000_000, window: '1s', burst: 1_000_000 }],
    telemetry: { access: { output: { file: join(folder, 'access.log') } } },
    routes: [{ id: 'app', cache: {} }],
  }
}

/** Everything on, but nobody hears of it. */
export function unobserved(port, origin, folder) {
  return { ...everythingOn(port, origin, folder), telemetry: OFF.telemetry }
}

/** Everything on, a span for each request begun, one in a hundred exported, and log records of as many. */
export function exported(collector) {
  return (port, origin, folder) => {
    const config = everythingOn(port, origin, folder)
    const { access } = config.telemetry
    return {
      ...config,
      telemetry: {
        access: { ...access, sample: 0.01 },
        trace: { sampling: 0.01 },
        otlp: { endpoint: collector },
      },
    }
  }
}

/** Where a gateway of this name keeps its config, log and profile. */
export function ownFolder(name, folder) {
  return join(folder, name.replaceAll(/\W+/g, '-'))
}

/**
 * @param configure one of the functions above
 * @param profiled whether it leaves a CPU profile in its folder when it stops
 */
export async function startMeridian(name, configure, { origin, folder, profiled }) {
  const port = await freePort()
  const own = ownFolder(name, folder)
  mkdirSync(own, { recursive: true })
  const file = join(own, 'meridian.json')
  writeFileSync(file, JSON.stringify(configure(port, origin, own), null, 2))
  const node = profiled ? profileArgs(own) : []
  return startOnPort([...node, CLI, 'start', '--config', file], port)
}

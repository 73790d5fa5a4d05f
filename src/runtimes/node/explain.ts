/**
 * Explains a request by sending it down the real path with an upstream that sends nothing: every step
 * decides as it would, and the exchange that comes out says what and why.
 */

import type { ExplainQuery } from '../../admin/view.ts'
import { drawnSecretOf } from '../../compile/challenge.ts'
import { compileSnapshot } from '../../compile/compile.ts'
import { Gateway } from '../../gateway.ts'
import { GeoSlots } from '../../geo/place.ts'
import { MmdbGeoSource } from '../../geo/source.ts'
import { parseIp } from '../../http/ip.ts'
import { splitAbsoluteForm } from '../../http/target.ts'
import type { OriginAddress, Platform, Upstream, UpstreamCall } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import { explainedRollout } from '../../steps/rollout-control.ts'
import { type Explanation, explain } from '../../telemetry/explain.ts'
import { Telemetry } from '../../telemetry/telemetry.ts'
import { openId } from '../web/openid.ts'
import { nodeClock, nodeRandom } from './clock.ts'
import { type ConfigBundle, ConfigFile } from './config-file.ts'
import { openGeoFiles } from './geo-file.ts'
import type { Instance } from './instance.ts'
import { nodeKeySource } from './key-source.ts'
import { builtInRuleset } from './rulesets.ts'
import { VERSION } from './version.ts'

/** Answers 200 with nothing, for every origin. */
class SilentUpstream implements Upstream {
  send(origin: OriginAddress): UpstreamCall {
    void origin
    return {
      reply: Promise.resolve({ status: 200, headers: ['content-length', '0'], body: null }),
      cancel: () => {},
    }
  }
}

export interface Rehearsal {
  readonly gateway: Gateway
  readonly snapshot: Snapshot
  readonly telemetry: Telemetry
  readonly platform: Platform
}

const QUIET = { info: () => {}, warn: () => {}, error: () => {} }

/**
 * `meridian explain --config FILE`: with the config as it would be loaded now, and every origin up.
 * @throws ConfigError, ConfigFileError, GeoFileError; RangeError for a request that cannot be read
 */
export async function explainRequest(
  configPath: string,
  query: ExplainQuery,
): Promise<Explanation> {
  const bundle = await new ConfigFile(configPath).load()
  const { geo, slots } = await openGeo(bundle)
  const result = await run(bundle, geo, slots, query)
  if (typeof result === 'string') throw new RangeError(result)
  return result
}

/** The geo databases that a config names. @throws GeoFileError */
export async function openGeo(
  bundle: ConfigBundle,
): Promise<{ geo: MmdbGeoSource; slots: GeoSlots }> {
  const slots = new GeoSlots()
  const geo = new MmdbGeoSource(slots)
  const { database, reload, allowIpv4Only } = bundle.config.geo
  const paths = database === undefined ? [] : typeof database === 'string' ? [database] : database
  const opened = await openGeoFiles({ paths, canaries: reload.canaries, allowIpv4Only })
  geo.swap(opened.databases)
  return { geo, slots }
}

/** With the config and the geo data of a running gateway; nothing that it counts is touched. */
export function explainExchange(
  instance: Instance,
  query: ExplainQuery,
): Promise<Explanation | string> {
  return run(instance.bundle, instance.geo, new GeoSlots(), query, instance)
}

/** A gateway that sends nothing, over a config. @throws ConfigError */
export async function rehearsal(
  bundle: ConfigBundle,
  geo: MmdbGeoSource,
  slots: GeoSlots,
  live?: Instance,
): Promise<Rehearsal> {
  const platform: Platform = {
    name: 'node',
    clock: nodeClock,
    random: nodeRandom,
    upstream: new SilentUpstream(),
    names: live?.platform.names,
    geo,
    keys: nodeKeySource,
    openId,
    access: { line: () => {} },
    log: QUIET,
  }
  const telemetry = new Telemetry(
    bundle.config.telemetry,
    {},
    {
      clock: nodeClock,
      random: nodeRandom,
      access: undefined,
      build: { version: VERSION, runtime: 'node' },
    },
  )
  const snapshot = await compileSnapshot(bundle, {
    platform,
    slots,
    builtInRuleset,
    drawnSecret: drawnSecretOf(live?.snapshot),
    rehearsal: {
      health: live?.snapshot.health,
      penaltyBox: live?.snapshot.penaltyBox,
      drains: live?.snapshot.drains,
      rollouts: live?.snapshot.rollouts,
    },
  })
  const gateway = new Gateway({ platform, telemetry, cache: undefined }, snapshot)
  return { gateway, snapshot, telemetry, platform }
}

async function run(
  bundle: ConfigBundle,
  geo: MmdbGeoSource,
  slots: GeoSlots,
  query: ExplainQuery,
  live?: Instance,
): Promise<Explanation | string> {
  const request = readQuery(query)
  if (typeof request === 'string') return request
  const { gateway, snapshot, telemetry } = await rehearsal(bundle, geo, slots, live)
  const ip = query.ip === undefined ? undefined : parseIp(query.ip)
  const x = gateway.admit(
    request,
    { ip, port: 0, tls: request.secure ? { version: 'TLSv1.3' } : null },
    undefined,
    () => null,
  )
  const reply = await gateway.handle(x)
  return explain(
    x,
    {
      status: reply.status,
      candidates: snapshot.explainSteering?.(x) ?? [],
      rollout: explainedRollout(x, nodeClock.monotonic()),
    },
    live?.telemetry.mask ?? telemetry.mask,
  )
}

/** The request as the front gets it, or what is wrong with the question. */
function readQuery(query: ExplainQuery) {
  if (query.ip !== undefined && parseIp(query.ip) === undefined) {
    return `"${query.ip}" is not an IP address`
  }
  const absolute = splitAbsoluteForm(query.url)
  if (absolute === undefined && !query.url.startsWith('/')) {
    return 'the URL is absolute ("https://example.com/path") or a path ("/path")'
  }
  if (absolute !== undefined && absolute.scheme !== 'http' && absolute.scheme !== 'https') {
    return 'the scheme of the URL is http or https'
  }
  const headers: string[] = []
  for (const [name, value] of query.headers) headers.push(name, value)
  if (!query.headers.some(([name]) => name.toLowerCase() === 'host')) {
    headers.unshift('host', absolute?.authority ?? 'localhost')
  }
  return {
    method: query.method,
    target: absolute?.rest ?? query.url,
    version: '1.1' as const,
    headers,
    secure: absolute?.scheme === 'https',
  }
}

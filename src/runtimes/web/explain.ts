/**
 * Explains a request by sending it down the real path with an upstream that sends nothing: every step
 * decides as it would, nothing that a running gateway counts is touched.
 */
import type { ExplainQuery } from '../../admin/view.ts'
import { drawnSecretOf } from '../../compile/challenge.ts'
import { compileSnapshot } from '../../compile/compile.ts'
import { Gateway } from '../../gateway.ts'
import type { PlatformPlace } from '../../geo/locate.ts'
import type { RawRequest } from '../../http/front.ts'
import { parseIp } from '../../http/ip.ts'
import { splitAbsoluteForm } from '../../http/target.ts'
import type { Upstream } from '../../ports.ts'
import { type Explanation, explain } from '../../telemetry/explain.ts'
import { Telemetry } from '../../telemetry/telemetry.ts'
import { compileOptions, QUIET, type WebGateway } from './instance.ts'
import { VERSION } from './version.ts'

/** Answers 200 with nothing, for every origin. */
const silentUpstream: Upstream = {
  send: () => ({
    reply: Promise.resolve({ status: 200, headers: ['content-length', '0'], body: null }),
    cancel: () => {},
  }),
}

/** A question, with the place that the platform would tell. */
export interface EdgeExplainQuery extends ExplainQuery {
  readonly place?: PlatformPlace | undefined
}

/** @returns a sentence instead when the question cannot be read */
export async function explainRequest(
  web: WebGateway,
  query: EdgeExplainQuery,
): Promise<Explanation | string> {
  const request = readQuery(query)
  if (typeof request === 'string') return request
  const { options, slots, loaded } = web
  const platform = { ...web.platform, upstream: silentUpstream, log: QUIET }
  const telemetry = new Telemetry(
    loaded.config.telemetry,
    {},
    {
      clock: platform.clock,
      random: platform.random,
      access: undefined,
      build: { version: VERSION, runtime: platform.name },
    },
  )
  const snapshot = await compileSnapshot(loaded, {
    ...compileOptions({ ...options, onHealthEvent: undefined }, platform, slots, telemetry),
    canShare: true,
    areRulesTested: true,
    drawnSecret: drawnSecretOf(web.snapshot),
    rehearsal: {
      health: web.snapshot.health,
      penaltyBox: web.snapshot.penaltyBox,
      drains: web.snapshot.drains,
    },
  })
  const gateway = new Gateway({ platform, telemetry, cache: undefined }, snapshot)
  const peer = {
    ip: query.ip === undefined ? undefined : parseIp(query.ip),
    port: 0,
    tls: request.secure ? { version: 'TLSv1.3' } : null,
  }
  const x = gateway.admit(
    request,
    query.place === undefined ? peer : { ...peer, place: query.place },
    undefined,
    () => null,
  )
  const reply = await gateway.handle(x)
  return explain(
    x,
    { status: reply.status, candidates: snapshot.explainSteering?.(x) ?? [] },
    web.telemetry.mask,
  )
}

/** The request as the front gets it, or what is wrong with the question. */
function readQuery(query: ExplainQuery): RawRequest | string {
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
    version: '1.1',
    headers,
    secure: absolute?.scheme === 'https',
  }
}

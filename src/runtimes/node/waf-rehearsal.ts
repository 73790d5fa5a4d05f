/**
 * Requests through the WAF of a config, without a gateway that serves: the front reads each as it would,
 * the router finds its route, the rules judge it. For `meridian rules diff` and `rules explain`.
 */
import { type BodySource, HeaderList, type Verdict } from '../../exchange.ts'
import { parseIp } from '../../http/ip.ts'
import { splitAbsoluteForm } from '../../http/target.ts'
import type { Passage } from '../../passage.ts'
import type { WafBlock, WafPass } from '../../waf/pass.ts'
import type { WafTrace } from '../../waf/trace.ts'
import type { RouteWaf } from '../../waf/waf.ts'
import { type ConfigBundle, ConfigFile } from './config-file.ts'
import { nodeDecoder } from './decoder.ts'
import { openGeo, type Rehearsal, rehearsal } from './explain.ts'

export interface RehearsedRequest {
  readonly method: string
  /** Absolute, or a path. */
  readonly url: string
  /** Names and values as byte strings. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body?: Uint8Array | undefined
  readonly ip?: string | undefined
  readonly response?: RehearsedResponse | undefined
}

export interface RehearsedResponse {
  readonly status: number
  readonly headers: readonly (readonly [string, string])[]
  readonly body?: Uint8Array | undefined
}

export interface Judgement {
  readonly block: WafBlock | undefined
  readonly verdicts: readonly Verdict[]
}

export interface Rehearsed extends Judgement {
  /** Code of the problem, when the front refuses the request before any rule sees it. */
  readonly refusal: string | undefined
  /** Id of the route; undefined when none takes the request. */
  readonly route: string | undefined
  readonly isInspected: boolean
}

const NOTHING: Judgement = { block: undefined, verdicts: [] }

export class WafRehearsal {
  readonly bundle: ConfigBundle
  readonly #rehearsal: Rehearsal

  private constructor(bundle: ConfigBundle, over: Rehearsal) {
    this.bundle = bundle
    this.#rehearsal = over
  }

  /** @throws ConfigError, ConfigFileError, GeoFileError */
  static async open(path: string): Promise<WafRehearsal> {
    const loaded = await new ConfigFile(path).load()
    return WafRehearsal.over(loaded, await openGeo(loaded))
  }

  /** @throws ConfigError */
  static async over(
    loaded: ConfigBundle,
    { geo, slots }: Awaited<ReturnType<typeof openGeo>>,
  ): Promise<WafRehearsal> {
    // Which requests are drawn is chance; a rehearsal asks what the rules say.
    const routes = loaded.config.routes.map((route) =>
      route.waf === undefined || route.waf === false
        ? route
        : { ...route, waf: { ...route.waf, simulateShare: 0 } },
    )
    const bundle = { ...loaded, config: { ...loaded.config, routes } }
    return new WafRehearsal(bundle, await rehearsal(bundle, geo, slots))
  }

  /** The request as the gateway admits it, with its route in `plan`. */
  admit(request: RehearsedRequest): Passage {
    const { gateway, snapshot } = this.#rehearsal
    const absolute = splitAbsoluteForm(request.url)
    const headers = request.headers.flat()
    if (!request.headers.some(([name]) => name.toLowerCase() === 'host')) {
      headers.unshift('host', absolute?.authority ?? 'localhost')
    }
    const secure = absolute?.scheme !== 'http'
    const x = gateway.admit(
      {
        method: request.method,
        target: absolute?.rest ?? request.url,
        version: '1.1',
        headers,
        secure,
      },
      {
        ip: parseIp(request.ip ?? '192.0.2.1'),
        port: 0,
        tls: secure ? { version: 'TLSv1.3' } : null,
      },
      undefined,
      () => (request.body === undefined ? null : bodyInMemory(request.body)),
    )
    if (x.refusal !== undefined) return x
    x.geo = snapshot.locator.locate(x.client, x.headers, x.peer.place)
    const index = snapshot.router.find(x.host, x.target.path, x.method, x)
    x.plan = snapshot.routes[index]
    return x
  }

  /** The WAF of a route by its id: null when it is not inspected, undefined when there is no such route. */
  wafOf(id: string): RouteWaf | null | undefined {
    const route = this.#rehearsal.snapshot.routes.find(({ ref }) => ref.id === id)
    return route === undefined ? undefined : (route.waf ?? null)
  }

  async run(request: RehearsedRequest): Promise<Rehearsed> {
    const x = this.admit(request)
    const refusal = x.refusal === undefined ? undefined : String(x.refusal)
    const waf = refusal === undefined ? x.plan?.waf : undefined
    const judged = waf === undefined ? NOTHING : await judge(waf, x, request.response)
    const route = refusal === undefined ? x.plan?.ref.id : undefined
    return { ...judged, refusal, route, isInspected: waf !== undefined }
  }
}

export function bodyInMemory(bytes: Uint8Array): BodySource {
  return {
    length: bytes.length,
    prefix: (limit) => ({ bytes: bytes.subarray(0, limit), truncated: bytes.length > limit }),
    open: () => bytes,
    isReplayable: true,
    discard: () => {},
  }
}

/** All phases that the request, and the response where there is one, bring about. */
export async function judge(
  waf: RouteWaf,
  x: Pick<Passage, 'subject' | 'body'>,
  response: RehearsedResponse | undefined,
  trace?: WafTrace,
): Promise<Judgement> {
  const pass = waf.begin(x.subject, undefined, trace)
  let block = pass.head()
  if (block === undefined && x.body !== null) block = await judgeBody(pass, x.body)
  if (block === undefined && response !== undefined && pass.wantsResponse) {
    const headers = new HeaderList(response.headers.flat())
    block = pass.response(response.status, headers)
    if (block === undefined && response.body !== undefined) {
      block = pass.responseBody(response.status, headers)?.whole(response.body)
    }
  }
  return { block, verdicts: pass.finish() }
}

async function judgeBody(pass: WafPass, body: BodySource): Promise<WafBlock | undefined> {
  const wanted = pass.bodyBytes
  if (wanted === 0) return pass.body(undefined)
  const prefix = await body.prefix(wanted)
  const { coding } = pass
  const decoded = coding === '' ? undefined : await nodeDecoder.decode(coding, prefix.bytes, wanted)
  return pass.body(prefix, decoded)
}

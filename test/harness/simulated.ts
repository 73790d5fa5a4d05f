/**
 * A whole gateway without sockets and without time: the config compiled, a clock that moves when it is told,
 * and an origin that is a function.
 */
import { ResponseCache } from '../../src/cache/response-cache.ts'
import { compileSnapshot } from '../../src/compile/compile.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import { type ByteStream, HeaderList, type Reply, UNKNOWN_GEO } from '../../src/exchange.ts'
import { Gateway, type Passage } from '../../src/gateway.ts'
import { GeoSlots } from '../../src/geo/place.ts'
import { parseIp } from '../../src/http/ip.ts'
import {
  type KeySource,
  type Platform,
  UpstreamError,
  type UpstreamReply,
  type UpstreamRequest,
} from '../../src/ports.ts'
import { builtInRuleset } from '../../src/runtimes/node/rulesets.ts'
import type { GatewayEvent } from '../../src/telemetry/events.ts'
import { explain } from '../../src/telemetry/explain.ts'
import { exposition } from '../../src/telemetry/exposition.ts'
import { Telemetry } from '../../src/telemetry/telemetry.ts'
import { seededRandom, VirtualClock } from '../../src/upstream/scripted.fixture.ts'
import { sumOf } from './world.ts'

export interface OriginAnswer {
  readonly status?: number
  readonly headers?: readonly string[]
  readonly body?: string | Uint8Array | ByteStream
  /** Milliseconds until the response header. */
  readonly after?: number
}
export type Origin = (request: UpstreamRequest) => OriginAnswer

export interface Question {
  readonly ip?: string
  readonly method?: string
  readonly host?: string
  readonly secure?: boolean
  /** Flat name, value list besides Host. */
  readonly headers?: readonly string[]
}

export interface Seen {
  readonly status: number
  readonly headers: HeaderList
  readonly text: string
  readonly outcome: string
}

/** A request that has been handed in and not been answered, or not been read to its end. */
export interface Asked {
  readonly exchange: Passage
  readonly reply: Promise<Reply>
  /** The client leaves. */
  leave(): void
}

export const SECRET = 'a secret of at least thirty-two bytes'

export class Simulated {
  readonly gateway: Gateway
  readonly clock: VirtualClock
  /** Targets that reached an origin, in order. */
  readonly asked: string[]
  readonly #compile: (config: SimulatedConfig, previous: Gateway) => Promise<void>

  constructor(
    gateway: Gateway,
    clock: VirtualClock,
    asked: string[],
    compile: (config: SimulatedConfig, previous: Gateway) => Promise<void>,
  ) {
    this.gateway = gateway
    this.clock = clock
    this.asked = asked
    this.#compile = compile
  }

  reload(config: SimulatedConfig): Promise<void> {
    return this.#compile(config, this.gateway)
  }

  begin(target: string, question: Question = {}): Asked {
    const { ip = '192.0.2.1', method = 'GET', host = 'example.com', secure = true } = question
    const headers = ['host', host, ...(question.headers ?? [])]
    const exchange = this.gateway.admit(
      { method, target, version: '1.1', headers, secure },
      { ip: parseIp(ip), port: 0, tls: secure ? { version: 'TLSv1.3' } : null },
      undefined,
      () => null,
    )
    const reply = Promise.resolve(this.gateway.handle(exchange))
    return {
      exchange,
      reply,
      leave: () => {
        exchange.abort()
        this.gateway.finish(exchange, undefined, { bytesIn: 0, bytesOut: 0, complete: false })
      },
    }
  }

  /** Answered and read to its end; time passes as far as that takes, a minute at most. */
  async ask(target: string, question: Question = {}): Promise<Seen> {
    const { exchange, reply } = this.begin(target, question)
    let seen: Seen | undefined
    const done = reply.then(async (answer) => {
      const text = question.method === 'HEAD' ? '' : await textOf(answer)
      this.gateway.finish(exchange, answer, {
        bytesIn: 0,
        bytesOut: text.length,
        complete: true,
      })
      const headers = new HeaderList([...answer.headers])
      seen = { status: answer.status, headers, text, outcome: exchange.outcome }
    })
    for (let i = 0; seen === undefined && i < 60; i++) await this.clock.pass(i === 0 ? 0 : 1000)
    await done
    return seen as unknown as Seen
  }

  metric(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return sumOf(exposition(this.gateway.services.telemetry.metrics.snapshot()), name, labels)
  }

  events(what: string): readonly GatewayEvent[] {
    return this.gateway.services.telemetry.events.since(0).filter((event) => event.what === what)
  }

  /** What an explanation says of the step that answered. */
  async why(target: string, question: Question = {}): Promise<string> {
    const { exchange, reply } = this.begin(target, question)
    const { status } = await reply
    const { steps } = explain(exchange, { status }, this.gateway.services.telemetry.mask)
    const step = steps.find(({ outcome }) => outcome === 'answered')
    return `${step?.step}: ${step?.why}`
  }
}

/** Everything but what every test wants alike. */
export type SimulatedConfig = Partial<MeridianConfigInput>

/** A gateway with one pool, `app`, and a route to it without a cache. */
export async function simulated(
  config: SimulatedConfig,
  origin: Origin = () => ({ body: 'hello' }),
  keys: KeySource = noKeys,
): Promise<Simulated> {
  const clock = new VirtualClock()
  const random = seededRandom(7)
  const slots = new GeoSlots()
  const asked: string[] = []
  const platform: Platform = {
    name: 'test',
    clock,
    random,
    upstream: {
      send(_, request) {
        asked.push(request.path)
        const answer = origin(request)
        let cancel = () => {}
        const reply = new Promise<UpstreamReply>((resolve, reject) => {
          cancel = () => reject(new UpstreamError('cancelled', 'cancelled'))
          const give = () => resolve(replyOf(answer))
          if (answer.after === undefined) give()
          else if (answer.after > request.firstByteTimeoutMs) {
            const late = () => reject(new UpstreamError('timeout', 'late'))
            clock.after(request.firstByteTimeoutMs, late)
          } else clock.after(answer.after, give)
        })
        return { reply, cancel: () => cancel() }
      },
    },
    geo: { lookup: () => UNKNOWN_GEO, version: 0 },
    keys,
    access: { line: () => {} },
    log: { info: () => {}, warn: () => {}, error: (text, fields) => console.error(text, fields) },
  }
  const compile = async (part: SimulatedConfig, previous: Gateway | undefined) => {
    const whole = {
      pools: { app: { origins: [{ id: 'a', url: 'http://10.0.0.1' }] } },
      routes: [{ id: 'site', pools: ['app'], cache: false }],
      waf: { mode: 'off' },
      ...part,
    }
    const loaded = await loadConfig(JSON.stringify(whole), { readSecret: () => SECRET })
    return compileSnapshot(loaded, {
      platform,
      slots,
      builtInRuleset,
      previous: previous?.snapshot,
    })
  }
  const snapshot = await compile(config, undefined)
  const telemetry = new Telemetry(
    snapshot.config.telemetry,
    {},
    {
      clock,
      random,
      access: undefined,
      build: { version: '0', runtime: 'test' },
    },
  )
  const { cache: section } = snapshot.config
  const cache = new ResponseCache({
    clock,
    random,
    name: section.name,
    statusHeader: section.statusHeader,
    memoryBytes: section.memory,
    admission: section.admission,
    maxMemoryObject: section.maxMemoryObject,
    fillMemory: section.fillMemory,
  })
  const gateway = new Gateway({ platform, telemetry, cache }, snapshot)
  return new Simulated(gateway, clock, asked, async (next, running) => {
    running.swap(await compile(next, running))
  })
}

const noKeys: KeySource = {
  fetch: () => Promise.reject(new Error('nothing is fetched here')),
}

function replyOf({ status = 200, headers = [], body = '' }: OriginAnswer): UpstreamReply {
  return {
    status,
    headers: [...headers],
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
  }
}

function textOf({ body }: Reply): Promise<string> {
  if (body === null) return Promise.resolve('')
  if (body instanceof Uint8Array) return Promise.resolve(new TextDecoder().decode(body))
  return new Promise((resolve, reject) => {
    let text = ''
    body.pipe({
      write(chunk) {
        text += new TextDecoder().decode(chunk)
        return true
      },
      end: () => resolve(text),
      fail: reject,
    })
  })
}

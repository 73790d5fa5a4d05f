/**
 * Three whole gateways, six regions, and hours of faults by a seed: the real steps, steering, health, attempts
 * and budgets on virtual time, over origins that are functions. What is checked are the promises.
 */
import { compileSnapshot } from '../../src/compile/compile.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { Geo, Millis } from '../../src/exchange.ts'
import { UNKNOWN_GEO } from '../../src/exchange.ts'
import { Gateway, type Passage } from '../../src/gateway.ts'
import { GeoSlots } from '../../src/geo/place.ts'
import type { ProbeResult } from '../../src/health/active.ts'
import { parseIp } from '../../src/http/ip.ts'
import {
  type OriginAddress,
  type Platform,
  UpstreamError,
  type UpstreamErrorClass,
  type UpstreamReply,
  type UpstreamRequest,
} from '../../src/ports.ts'
import type { Snapshot } from '../../src/snapshot.ts'
import { isInMask } from '../../src/steering/regions.ts'
import { explain } from '../../src/telemetry/explain.ts'
import { Telemetry } from '../../src/telemetry/telemetry.ts'
import { FAULTS, World } from './faults.ts'
import { SeededRandom, SteppingClock, VirtualTime } from './virtual-time.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND

/** The first three are in the European Union. */
const REGIONS = [
  { id: 'eu-central-1', cloud: 'aws:eu-central-1' },
  { id: 'eu-west-3', cloud: 'aws:eu-west-3' },
  { id: 'eu-north-1', cloud: 'aws:eu-north-1' },
  { id: 'us-east-1', cloud: 'aws:us-east-1' },
  { id: 'us-west-1', cloud: 'aws:us-west-1' },
  { id: 'ap-southeast-1', cloud: 'aws:ap-southeast-1' },
]
const EUROPEAN = [0, 1, 2]
const EVERYWHERE = REGIONS.map((_, index) => index)
const GATEWAYS = ['eu-central-1', 'us-east-1', 'ap-southeast-1']
const PLACES = [
  { country: 'DE', latitude: 50.1, longitude: 8.7, home: 0 },
  { country: 'FR', latitude: 48.9, longitude: 2.4, home: 1 },
  { country: 'US', latitude: 40.7, longitude: -74, home: 3 },
  { country: 'US', latitude: 37.8, longitude: -122.4, home: 4 },
  { country: 'SG', latitude: 1.35, longitude: 103.8, home: 5 },
]

const DEADLINE_MS = 10 * SECOND
const RETRY_PERCENT = 20
/** Interval, timeout and the second check, with jitter: what checks alone need for what is gone. */
const DETECTION_MS = 12 * SECOND
/** The longest ejection with its jitter, and the checks after it. */
const RECOVERY_MS = 375 * SECOND
/** What a gateway may add to its load at once, and a second, besides its share of requests. */
const BUDGET_STOCK = 100
const BUDGET_FLOOR = 10
const WINDOW_MS = 10 * SECOND

const CONFIG: MeridianConfigInput = {
  regions: REGIONS.map((region) => ({ ...region, pools: [region.id] })),
  residency: [{ id: 'gdpr', from: { europeanUnion: true }, allowTags: ['EU'] }],
  pools: Object.fromEntries(
    REGIONS.map(({ id }, index) => [
      id,
      {
        origins: ['a', 'b'].map((origin, i) => ({ id: origin, url: `http://10.1.${index}.${i}` })),
        health: { path: '/healthz' },
        timeouts: { connect: '500ms', firstByte: '1s' },
      },
    ]),
  ),
  routes: [
    { id: 'held', match: { path: '/held/' }, cache: false, retry: { hold: '2s' } },
    { id: 'plain', cache: false },
  ],
  waf: { mode: 'off' },
}

export interface SimulationOptions {
  readonly seed: number
  /** Of faults; a quiet end is added. */
  readonly hours: number
}

export interface SimulationSummary {
  readonly seed: number
  readonly hours: number
  readonly requests: number
  readonly attempts: number
  readonly checks: number
  readonly faults: Readonly<Record<string, number>>
  /** Requests by outcome. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Requests that a client got answered although an attempt had failed. */
  readonly masked: number
  readonly healthChanges: number
  /** Failed requests that may be repeated, by why that was within the rules. */
  readonly excused: Readonly<Record<string, number>>
  /** Broken promises; the first hundred. */
  readonly violations: readonly string[]
  /** Of everything that happened, in order. */
  readonly trace: string
}

/** A request on its way, as the outside sees it. */
interface Flight {
  readonly gateway: number
  readonly lawful: readonly number[]
  readonly isSafe: boolean
  readonly startedAt: Millis
  sent: number
  delivered: number
}

interface Node {
  readonly gateway: Gateway
  readonly clock: SteppingClock
  readonly snapshot: Snapshot
  /** Per pool: when requests came for it, and when retries of them were made. */
  readonly load: Map<string, { requests: Millis[]; retries: Millis[] }>
}

export async function simulate(options: SimulationOptions): Promise<SimulationSummary> {
  const simulation = new Simulation(options)
  return simulation.run()
}

class Simulation {
  readonly #options: SimulationOptions
  readonly #time = new VirtualTime()
  readonly #random: SeededRandom
  readonly #world: World
  readonly #nodes: Node[] = []
  readonly #flights = new Map<string, Flight>()
  readonly #violations: string[] = []
  readonly #faults: Record<string, number> = {}
  readonly #outcomes: Record<string, number> = {}
  readonly #excused: Record<string, number> = {}
  #requests = 0
  #attempts = 0
  #checks = 0
  #masked = 0
  #healthChanges = 0
  #records = 0
  #trace = 0x811c9dc5
  /** Nothing breaks any more, and all is well again after this. */
  #quietFrom = Number.POSITIVE_INFINITY
  #isOver = false

  constructor(options: SimulationOptions) {
    this.#options = options
    this.#random = new SeededRandom(options.seed)
    this.#world = new World(this.#time, GATEWAYS.length, REGIONS.length)
  }

  async run(): Promise<SimulationSummary> {
    for (const index of GATEWAYS.keys()) this.#nodes.push(await this.#node(index))
    for (const { snapshot } of this.#nodes) snapshot.start()
    await this.#time.pass(30 * SECOND)
    for (const index of GATEWAYS.keys()) this.#nextRequest(index)
    this.#nextFault()
    this.#everyMinute()
    await this.#time.pass(this.#options.hours * 60 * MINUTE)
    this.#quietFrom = this.#time.now + 150 * SECOND + RECOVERY_MS
    await this.#time.pass(this.#quietFrom - this.#time.now + 2 * MINUTE)
    await this.#end()
    return {
      ...this.#options,
      requests: this.#requests,
      attempts: this.#attempts,
      checks: this.#checks,
      faults: this.#faults,
      outcomes: this.#outcomes,
      masked: this.#masked,
      healthChanges: this.#healthChanges,
      excused: this.#excused,
      violations: this.#violations,
      trace: (this.#trace >>> 0).toString(16).padStart(8, '0'),
    }
  }

  // What happens -----------------------------------------------------------------------------------

  async #node(index: number): Promise<Node> {
    const clock = new SteppingClock(this.#time)
    const random = new SeededRandom(this.#options.seed * 31 + index + 1)
    const slots = new GeoSlots()
    const places = PLACES.map((place) =>
      slots.place({ ...place, radiusKm: 10, asn: null }, 'mmdb'),
    ) as Geo[]
    const access = {
      line: () => {
        this.#records++
      },
    }
    const platform: Platform = {
      name: 'test',
      clock,
      random,
      upstream: { send: (origin, request) => this.#send(index, origin, request) },
      geo: {
        lookup: (ip) => places[Number(ip?.text.split('.')[1])] ?? UNKNOWN_GEO,
        version: 0,
      },
      keys: { fetch: () => Promise.reject(new Error('nothing is fetched here')) },
      access,
      log: {
        info: () => {},
        warn: () => {},
        error: (message) => this.#violation(`gateway ${index} logged: ${message}`),
      },
    }
    const config = { ...CONFIG, geo: { gateway: { region: GATEWAYS[index] as string } } }
    const loaded = await loadConfig(JSON.stringify(config), { readSecret: () => undefined })
    const snapshot = await compileSnapshot(loaded, {
      platform,
      slots,
      probe: ({ origin }) => this.#check(index, origin),
      onHealthEvent: ({ origin, from, to, cause }) => {
        this.#healthChanges++
        this.#note(`${index} ${origin} ${from} ${to} ${cause}`)
      },
    })
    const build = { version: '0', runtime: 'test' }
    const telemetry = new Telemetry(snapshot.config.telemetry, {}, { clock, random, access, build })
    const gateway = new Gateway({ platform, telemetry, cache: undefined }, snapshot)
    return { gateway, clock, snapshot, load: new Map() }
  }

  #nextFault(): void {
    this.#time.after(5 * SECOND + this.#random.wait(70 * SECOND), () => {
      if (this.#time.now >= this.#options.hours * 60 * MINUTE + 30 * SECOND) return
      this.#strike()
      this.#nextFault()
    })
  }

  #strike(): void {
    const random = this.#random
    const draw = random.next()
    const duration = random.between(2 * SECOND, 140 * SECOND)
    const gateway = random.below(GATEWAYS.length)
    let name: string
    if (draw < 0.08) {
      name = 'clock-step'
      const node = this.#nodes[gateway] as Node
      node.clock.offset += random.between(-60 * MINUTE, 60 * MINUTE)
    } else if (draw < 0.14) {
      name = 'europe-gone'
      for (const region of EUROPEAN) this.#world.strike('dead', region, gateway, duration)
    } else if (draw < 0.2) {
      name = 'burst'
      for (let i = 0; i < 4000; i++) {
        this.#time.after(random.between(0, 4 * SECOND), () => this.#request(gateway))
      }
      for (const region of EVERYWHERE) this.#world.strike('errors', region, gateway, 6 * SECOND)
    } else {
      const fault = random.pick(FAULTS)
      name = fault
      this.#world.strike(fault, random.below(REGIONS.length), gateway, duration)
    }
    this.#faults[name] = (this.#faults[name] ?? 0) + 1
    this.#note(`fault ${name} ${gateway} ${duration}`)
  }

  #nextRequest(gateway: number): void {
    this.#time.after(this.#random.wait(700), () => {
      if (this.#isOver) return
      this.#request(gateway)
      this.#nextRequest(gateway)
    })
  }

  #request(index: number): void {
    const random = this.#random
    const node = this.#nodes[index] as Node
    const place = random.below(PLACES.length)
    const ip = `10.${place}.${random.below(4)}.${random.below(250)}`
    const draw = random.next()
    const method = draw < 0.7 ? 'GET' : draw < 0.85 ? 'PUT' : 'POST'
    const target = `/${random.next() < 0.3 ? 'held' : 'plain'}/${this.#requests++}`
    const isEuropean = place < 2
    const flight: Flight = {
      gateway: index,
      lawful: isEuropean ? EUROPEAN : EVERYWHERE,
      isSafe: method !== 'POST',
      startedAt: this.#time.now,
      sent: 0,
      delivered: 0,
    }
    this.#flights.set(target, flight)
    const exhausted = this.#exhausted(node)
    const x = node.gateway.admit(
      { method, target, version: '1.1', headers: ['host', 'example.com'], secure: false },
      { ip: parseIp(ip), port: 0, tls: null },
      undefined,
      () => null,
    )
    void Promise.resolve(node.gateway.handle(x)).then(
      (reply) => {
        node.gateway.finish(x, reply, { bytesIn: 0, bytesOut: 0, complete: true })
        this.#flights.delete(target)
        this.#judge(x, reply.status, flight, target, this.#exhausted(node) > exhausted)
      },
      (error: Error) => this.#violation(`${target} was not answered: ${error.message}`),
    )
  }

  #exhausted({ snapshot }: Node): number {
    let sum = 0
    for (const pool of snapshot.pools.values()) sum += pool.budget.exhausted
    return sum
  }

  #send(index: number, origin: OriginAddress, request: UpstreamRequest) {
    const region = regionOf(origin)
    const flight = this.#flights.get(request.path)
    this.#attempts++
    if (flight === undefined) this.#violation(`${request.path} was sent after its answer`)
    else {
      this.#judgeSending(flight, index, region, request)
      flight.sent++
    }
    const fate = this.#world.fate(index, region, this.#random, false)
    if (flight !== undefined && fate !== 'lost' && fate !== 'refused') {
      flight.delivered++
      if (!flight.isSafe && flight.delivered > 1) {
        this.#violation(`${request.method} ${request.path} reached origins twice`)
      }
    }
    const travel = this.#random.between(5, 120)
    let cancel = () => {}
    const reply = new Promise<UpstreamReply>((resolve, reject) => {
      const total = request.totalTimeoutMs ?? Number.POSITIVE_INFINITY
      const fail = (kind: UpstreamErrorClass, after: Millis) =>
        this.#time.after(Math.min(after, total), () => reject(new UpstreamError(kind, fate)))
      const answer = (status: number) => () =>
        resolve({ status, headers: [], body: new Uint8Array(2) })
      let stop: () => void
      if (fate === 'lost') stop = fail('connect', request.connectTimeoutMs)
      else if (fate === 'refused') stop = fail('connect', travel)
      else if (fate === 'silent' || fate === 'late') {
        stop = fail('timeout', request.firstByteTimeoutMs)
      } else if (fate === 'cut') stop = fail('truncated', travel)
      else stop = this.#time.after(travel, answer(fate === 'error' ? 503 : 200))
      cancel = () => {
        stop()
        reject(new UpstreamError('cancelled', 'cancelled'))
      }
    })
    return { reply, cancel: () => cancel() }
  }

  #check(index: number, origin: OriginAddress): Promise<ProbeResult> {
    this.#checks++
    const fate = this.#world.fate(index, regionOf(origin), this.#random, true)
    const ok = fate === 'served' || fate === 'late'
    const isSilent = fate === 'silent' || fate === 'lost'
    return new Promise((resolve) => {
      const after = isSilent ? 10 * SECOND : fate === 'late' ? 1500 : this.#random.between(5, 120)
      this.#time.after(after, () => resolve({ ok, detail: fate }))
    })
  }

  // What was promised ------------------------------------------------------------------------------

  #judgeSending(flight: Flight, index: number, region: number, request: UpstreamRequest): void {
    const { now } = this.#time
    const name = REGIONS[region]?.id
    if (!flight.lawful.includes(region)) {
      this.#violation(`${request.method} ${request.path} was sent to ${name}, where it may not be`)
    }
    if (flight.sent > 0 || !this.#world.isGoneSince(index, region, now - DETECTION_MS)) return
    if (this.#hasWell(flight, now)) {
      this.#violation(`${request.path} was first sent to ${name}, which is known to be gone`)
    }
  }

  /** Whether a region that it may be sent to has been well for long enough to be used again. */
  #hasWell(flight: Flight, at: Millis): boolean {
    return flight.lawful.some((region) =>
      this.#world.isWellSince(flight.gateway, region, at - RECOVERY_MS),
    )
  }

  #judge(x: Passage, status: number, flight: Flight, target: string, wasRefused: boolean): void {
    const { now } = this.#time
    const { startedAt, gateway } = flight
    const outcome = status < 500 ? 'served' : x.outcome === 'served' ? 'origin-status' : x.outcome
    this.#outcomes[outcome] = (this.#outcomes[outcome] ?? 0) + 1
    const order = x.attempts.map(({ origin, outcome }) => `${origin}=${outcome}`).join(' ')
    this.#note(`${gateway} ${x.method} ${target} ${status} ${outcome} ${order}`)
    if (status === 200 && x.attempts.length > 1) this.#masked++
    if (now - startedAt > DEADLINE_MS + SECOND) {
      this.#violation(`${target} took ${Math.round(now - startedAt)} ms`)
    }
    this.#judgeExplanation(x, status, target)
    this.#judgeBudget(x, gateway)
    if (status < 500 || !flight.isSafe) return
    if (startedAt >= this.#quietFrom)
      this.#violation(`${target} failed when all was well: ${order}`)
    const excuse = this.#excuseFor(flight, wasRefused)
    if (excuse !== undefined) this.#excused[excuse] = (this.#excused[excuse] ?? 0) + 1
    else this.#violation(`${x.method} ${target} got ${status} ${x.outcome} in vain: ${order}`)
  }

  /** Why a failure was within the rules: two regions a request, a budget, and time to find out. */
  #excuseFor(flight: Flight, wasRefused: boolean): string | undefined {
    const { gateway, lawful, startedAt } = flight
    if (wasRefused) return 'the retry budget was empty'
    // One that was ill at some time of the request may have had its turn just then.
    const couldAnswer = lawful.some((region) => {
      const { isIll, since } = this.#world.view(gateway, region)
      return !isIll && since <= startedAt
    })
    if (!couldAnswer) return 'no lawful region was well all the while'
    if (!this.#hasWell(flight, startedAt)) return 'those that were well had just recovered'
    const unsettled = lawful.filter(
      (region) =>
        !this.#world.isWellSince(gateway, region, startedAt - RECOVERY_MS) &&
        !this.#world.isGoneSince(gateway, region, startedAt - DETECTION_MS),
    )
    return unsettled.length > 1 ? 'several regions had just changed' : undefined
  }

  #judgeExplanation(x: Passage, status: number, target: string): void {
    const { mask } = (this.#nodes[0] as Node).gateway.services.telemetry
    const { steps } = explain(x, { status }, mask)
    const answered = steps.filter(({ outcome }) => outcome === 'answered')
    const isExplained = answered.length === 1 && answered.every(({ why }) => why !== '')
    const { decision } = x
    const isDecided =
      decision === undefined
        ? ['residency-unavailable', 'residency-denied', 'no-healthy-origin'].includes(x.outcome)
        : decision.reason !== '' && decision.policy !== ''
    if (!isExplained || !isDecided || x.outcome === 'internal') {
      this.#violation(`${target} is not explained: ${status} ${x.outcome}`)
    }
  }

  /** Requests that wait for a recovery are sent ahead by their own rule, so their route is left out. */
  #judgeBudget(x: Passage, gateway: number): void {
    const payer = x.attempts[0]?.pool
    if (payer === undefined) return
    const { load } = this.#nodes[gateway] as Node
    const of = load.get(payer) ?? { requests: [], retries: [] }
    load.set(payer, of)
    const { now } = this.#time
    of.requests.push(now)
    if (x.plan?.ref.id === 'held') return
    for (let i = 1; i < x.attempts.length; i++) of.retries.push(now)
    const since = (times: Millis[], age: Millis) => {
      while ((times[0] ?? now) < now - 2 * WINDOW_MS) times.shift()
      return times.filter((time) => time >= now - age).length
    }
    // What was paid in before the window may be spent in it, and answers come after what they are for.
    const requests = since(of.requests, 2 * WINDOW_MS)
    const most =
      BUDGET_STOCK +
      (BUDGET_FLOOR * (WINDOW_MS + DEADLINE_MS)) / SECOND +
      (requests * RETRY_PERCENT) / 100
    const retries = since(of.retries, WINDOW_MS)
    if (retries > most) {
      this.#violation(`${payer} at gateway ${gateway}: ${retries} retries, at most ${most}`)
    }
  }

  #everyMinute(): void {
    this.#time.after(MINUTE, () => {
      if (this.#isOver) return
      for (const [index, { snapshot }] of this.#nodes.entries()) {
        snapshot.health.advance(this.#time.now)
        for (const region of EVERYWHERE) {
          if (!this.#world.isWellSince(index, region, this.#time.now - RECOVERY_MS)) continue
          if (isInMask(snapshot.health.low, snapshot.health.high, region)) continue
          this.#violation(`${REGIONS[region]?.id} is well and not used by gateway ${index}`)
        }
      }
      this.#everyMinute()
    })
  }

  /** Everybody is at home again, every request has its record, and nothing is left behind. */
  async #end(): Promise<void> {
    this.#isOver = true
    await this.#time.pass(DEADLINE_MS + 5 * SECOND)
    for (const [index, { gateway, snapshot }] of this.#nodes.entries()) {
      for (const place of PLACES.keys()) {
        const x = gateway.admit(
          { method: 'GET', target: '/', version: '1.1', headers: ['host', 'a'], secure: false },
          { ip: parseIp(`10.${place}.0.1`), port: 0, tls: null },
          undefined,
          () => null,
        )
        const flight = { gateway: index, lawful: EVERYWHERE, isSafe: true, startedAt: 0 }
        this.#flights.set('/', { ...flight, sent: 1, delivered: 0 })
        const reply = Promise.resolve(gateway.handle(x))
        await this.#time.pass(SECOND)
        gateway.finish(x, await reply, { bytesIn: 0, bytesOut: 0, complete: true })
        this.#flights.delete('/')
        this.#requests++
        const home = REGIONS[PLACES[place]?.home ?? 0]?.id
        if (x.decision?.region !== home) {
          this.#violation(`a client of ${home} is sent to ${x.decision?.region} at the end`)
        }
      }
      for (const pool of snapshot.pools.values()) {
        for (const { id, load } of pool.origins) {
          const { inFlight } = load
          if (inFlight !== 0) this.#violation(`${id} has ${inFlight} requests under way at the end`)
        }
      }
      if (snapshot.hold.waiting !== 0) this.#violation('requests still wait at the end')
      snapshot.stop()
    }
    await this.#time.pass(30 * SECOND)
    if (this.#time.pending > 0) this.#violation(`${this.#time.pending} timers are left at the end`)
    if (this.#records !== this.#requests) {
      this.#violation(`${this.#records} records of ${this.#requests} requests`)
    }
    if (this.#flights.size > 0) this.#violation(`${this.#flights.size} requests without an answer`)
  }

  #violation(text: string): void {
    if (this.#violations.length < 100) {
      this.#violations.push(`${(this.#time.now / SECOND).toFixed(1)} s: ${text}`)
    }
  }

  #note(text: string): void {
    const line = `${this.#time.now} ${text}`
    for (let i = 0; i < line.length; i++) {
      this.#trace = Math.imul(this.#trace ^ line.charCodeAt(i), 0x01000193)
    }
  }
}

/** Its address says where it is. */
function regionOf({ hostname }: OriginAddress): number {
  return Number(hostname.split('.')[2])
}

export function summaryText(summary: SimulationSummary): string {
  const rows = (record: Readonly<Record<string, number>>) =>
    Object.entries(record)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `  ${String(count).padStart(8)}  ${name}`)
  const { violations } = summary
  return [
    `seed ${summary.seed}, ${summary.hours} h of virtual time, ${GATEWAYS.length} gateways, ${REGIONS.length} regions`,
    `${summary.requests} requests, ${summary.attempts} attempts, ${summary.checks} checks, ${summary.healthChanges} changes of health`,
    `${summary.masked} requests served after a failed attempt`,
    'faults',
    ...rows(summary.faults),
    'outcomes',
    ...rows(summary.outcomes),
    'failures of repeatable requests that the rules allow',
    ...rows(summary.excused),
    `broken promises: ${violations.length}`,
    ...violations.map((text) => `  ${text}`),
    `trace ${summary.trace}`,
    '',
  ].join('\n')
}

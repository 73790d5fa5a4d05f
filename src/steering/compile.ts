/** From config to tables: every route gets its plans, every mistake goes to `report`. */
import { nearestName, type Report } from '../config/errors.ts'
import type { SteeringConfig, SteeringPolicyConfig } from '../config/sections/steering.ts'
import { type Geo, UNKNOWN_GEO } from '../exchange.ts'
import { DrainBoard } from './drains.ts'
import { LoadBoard } from './load.ts'
import { type GeoLists, type Preference, type RegionList, SteeringPlan } from './plan.ts'
import { RankTable } from './rank.ts'
import { maskOf, type RegionMask, type RegionTable } from './regions.ts'
import { type ResidencyRule, type ResidencyTable, toldOnly } from './residency.ts'
import { RttTable } from './rtt.ts'
import type { StickyTokens } from './sticky.ts'

/** What steering needs to know of a route. */
export interface RouteForSteering {
  /** For reports, e.g. `routes[2]`. */
  readonly path: string
  /** Regions of the route; undefined: all. */
  readonly regions?: readonly string[] | undefined
  /** Residency rule of the route, besides those that hold everywhere. */
  readonly residency?: string | undefined
  /** The route's own steering; undefined: the general one. */
  readonly steering?: SteeringConfig | undefined
}

export interface SteeringInput<X> {
  readonly regions: RegionTable
  readonly residency: ResidencyTable
  /** The general `steering` section. */
  readonly steering: SteeringConfig
  readonly routes: readonly RouteForSteering[]
  /** `geo.gateway`. */
  readonly gateway?:
    | { readonly region: string }
    | { readonly latitude: number; readonly longitude: number }
    | undefined
  /** Compiles a rule's expression; undefined after having reported a mistake. */
  readonly predicate: (expression: string, path: string) => ((subject: X) => boolean) | undefined
  /** The table before a reload: what it has measured is taken over. */
  readonly previous?: SteeringTable<X> | undefined
  /** Tokens made beforehand for each sticky section in use (`StickyTokens.create`). */
  readonly sticky?: ReadonlyMap<SteeringConfig, StickyTokens> | undefined
  /** What operators have drained; none when left out. */
  readonly drains?: DrainBoard | undefined
}

interface CompiledRoute<X> {
  readonly rules: readonly {
    readonly holds: (subject: X) => boolean
    readonly plan: SteeringPlan
  }[]
  readonly plan: SteeringPlan
}

/** The snapshot's steering. `load` and `rtt` are its only moving parts. */
export class SteeringTable<X> {
  readonly regions: RegionTable
  readonly load: LoadBoard
  readonly rtt: RttTable
  readonly #routes: readonly CompiledRoute<X>[]

  constructor(
    regions: RegionTable,
    load: LoadBoard,
    rtt: RttTable,
    routes: readonly CompiledRoute<X>[],
  ) {
    this.regions = regions
    this.load = load
    this.rtt = rtt
    this.#routes = routes
  }

  /** The plan for a request of a route: that of the first rule which holds, else the route's own. */
  plan(route: number, subject: X): SteeringPlan {
    const compiled = this.#routes[route]
    if (compiled === undefined) throw new RangeError(`no route ${route}`)
    for (const rule of compiled.rules) if (rule.holds(subject)) return rule.plan
    return compiled.plan
  }
}

export function compileSteering<X>(input: SteeringInput<X>, report: Report): SteeringTable<X> {
  return new Compiler(input, report).table()
}

class Compiler<X> {
  readonly #input: SteeringInput<X>
  readonly #report: Report
  readonly #regions: RegionTable
  readonly #load: LoadBoard
  readonly #drains: DrainBoard
  readonly #rtt: RttTable
  readonly #gateway: Geo
  /** Routes without steering of their own, by what else makes a difference. */
  readonly #general = new Map<string, CompiledRoute<X>>()
  readonly #byDistance: RankTable
  readonly #byEstimate: RankTable
  readonly #byMeasurement: RankTable

  constructor(input: SteeringInput<X>, report: Report) {
    this.#input = input
    this.#report = report
    this.#regions = input.regions
    this.#load = new LoadBoard(input.regions)
    this.#drains = input.drains ?? new DrainBoard(input.regions)
    this.#gateway = this.#gatewayPlace()
    const isKnown = !Number.isNaN(this.#gateway.latitude)
    this.#rtt = new RttTable(input.regions, isKnown ? this.#gateway : undefined)
    if (input.previous !== undefined) {
      this.#load.adopt(input.previous.load)
      this.#rtt.adopt(input.previous.rtt)
    }
    this.#byDistance = new RankTable(input.regions, { kind: 'distance' })
    this.#byEstimate = new RankTable(input.regions, { kind: 'estimate', rtt: this.#rtt })
    this.#byMeasurement = new RankTable(input.regions, { kind: 'measured', rtt: this.#rtt })
  }

  table(): SteeringTable<X> {
    const routes = this.#input.routes.map((route) => this.#route(route))
    return new SteeringTable(this.#regions, this.#load, this.#rtt, routes)
  }

  #gatewayPlace(): Geo {
    const where = this.#input.gateway
    if (where === undefined) return UNKNOWN_GEO
    if ('latitude' in where) {
      return Object.freeze({
        ...UNKNOWN_GEO,
        latitude: where.latitude,
        longitude: where.longitude,
      })
    }
    const index = this.#index(where.region, 'geo.gateway.region')
    if (index === undefined) return UNKNOWN_GEO
    const { latitude, longitude } = this.#regions.at(index)
    return Object.freeze({ ...UNKNOWN_GEO, latitude, longitude })
  }

  /** Routes that steer alike share their plans, and with them the decisions that these keep. */
  #route(route: RouteForSteering): CompiledRoute<X> {
    const residency = this.#residency(route)
    const candidates = this.#mask(route.regions, `${route.path}.regions`) ?? this.#regions.all
    if (route.steering !== undefined) return this.#compiled(route, candidates, residency)
    const key = `${candidates.low} ${candidates.high} ${route.residency ?? ''}`
    let shared = this.#general.get(key)
    if (shared === undefined) {
      shared = this.#compiled(route, candidates, residency)
      this.#general.set(key, shared)
    }
    return shared
  }

  #compiled(
    route: RouteForSteering,
    candidates: RegionMask,
    residency: readonly ResidencyRule[],
  ): CompiledRoute<X> {
    const config = route.steering ?? this.#input.steering
    const path = route.steering === undefined ? 'steering' : `${route.path}.steering`
    const tokens = this.#input.sticky?.get(config)
    const sticky =
      tokens === undefined ? undefined : { tokens, repins: config.sticky?.mode === 'sticky' }
    const planOf = (policy: SteeringPolicyConfig, at: string, rule: string | null): SteeringPlan =>
      this.#plan(policy, at, rule, candidates, residency, sticky)
    const rules = config.rules.flatMap((rule, index) => {
      const at = `${path}.rules[${index}]`
      const plan = planOf(rule, at, rule.id ?? `rule-${index + 1}`)
      const holds = this.#input.predicate(rule.when, `${at}.when`)
      return holds === undefined ? [] : [{ holds, plan }]
    })
    return { rules, plan: planOf(config, path, null) }
  }

  #residency(route: RouteForSteering): readonly ResidencyRule[] {
    const { general, byId } = this.#input.residency
    const named = route.residency === undefined ? undefined : byId.get(route.residency)
    if (route.residency !== undefined && named === undefined) {
      this.#unknown(`${route.path}.residency`, 'residency rule', route.residency, byId.keys())
    }
    const own = named === undefined || general.includes(named) ? general : [...general, named]
    // The others bind what the gateway in front has bound.
    const others = [...byId.values()].filter((rule) => !own.includes(rule))
    return others.length === 0 ? own : [...own, ...others.map(toldOnly)]
  }

  #plan(
    config: SteeringPolicyConfig,
    path: string,
    rule: string | null,
    routeRegions: RegionMask,
    residency: readonly ResidencyRule[],
    sticky: { readonly tokens: StickyTokens; readonly repins: boolean } | undefined,
  ): SteeringPlan {
    const chosen = this.#mask(config.regions, `${path}.regions`)
    let candidates = chosen ?? routeRegions
    const preference = this.#preference(config, path, candidates)
    if (preference.kind === 'weighted')
      candidates = intersect(candidates, weighted(preference.weights))
    if (config.reference === 'gateway' && Number.isNaN(this.#gateway.latitude)) {
      const needsIt = config.policy === 'proximity'
      if (needsIt) {
        this.#report(
          `${path}.reference`,
          'the place of this gateway is not known',
          'give it in "geo.gateway"',
        )
      }
    }
    return new SteeringPlan({
      policy: config.policy,
      rule,
      regions: this.#regions,
      residency,
      preference,
      candidates,
      fallback: this.#list(config.fallback, `${path}.fallback`),
      sensitivityMs: config.sensitivity,
      gateway: this.#gateway,
      fromGateway: config.reference === 'gateway',
      load: this.#load,
      drains: this.#drains,
      sticky,
    })
  }

  #preference(config: SteeringPolicyConfig, path: string, candidates: RegionMask): Preference {
    switch (config.policy) {
      case 'proximity':
        return { kind: 'ranked', table: this.#byDistance, unit: 'km' }
      case 'latency': {
        const table = config.reference === 'gateway' ? this.#byMeasurement : this.#byEstimate
        return { kind: 'ranked', table, unit: 'ms' }
      }
      case 'failover':
        return { kind: 'listed', list: this.#order(config, path) }
      case 'geo':
        return { kind: 'geo', lists: this.#geoLists(config, path, candidates) }
      case 'weighted':
        return { kind: 'weighted', weights: this.#weights(config, path, candidates) }
    }
  }

  /** The order given, then what it leaves out in the order of the config. */
  #order(config: SteeringPolicyConfig, path: string): RegionList {
    const given = this.#indexes(config.order ?? [], `${path}.order`)
    const rest = this.#regions.regions
      .map((region) => region.index)
      .filter((index) => !given.includes(index))
    return listOf([...given, ...rest])
  }

  #weights(config: SteeringPolicyConfig, path: string, candidates: RegionMask): Float64Array {
    const weights = new Float64Array(this.#regions.size)
    for (const id of Object.keys(config.weights ?? {})) {
      const index = this.#index(id, `${path}.weights`)
      if (index !== undefined) weights[index] = config.weights?.[id] ?? 0
    }
    const left = intersect(candidates, weighted(weights))
    if (left.low === 0 && left.high === 0) {
      this.#report(
        `${path}.weights`,
        'no region of the route has a weight above 0',
        'the policy "weighted" needs "weights": {"region": number}',
      )
    }
    return weights
  }

  #geoLists(config: SteeringPolicyConfig, path: string, candidates: RegionMask): GeoLists {
    const lists = config.lists
    if (lists === undefined) {
      this.#report(`${path}.lists`, 'the policy "geo" needs "lists"')
    }
    const named = (record: Readonly<Record<string, readonly string[]>>, at: string) =>
      new Map(
        Object.keys(record).map((key): [string, RegionList] => [
          key,
          this.#list(record[key] ?? [], `${path}.lists.${at}.${key}`),
        ]),
      )
    const all = this.#regions.regions.map((region) => region.index)
    const routeOrder = all.filter(
      (index) => ((index < 32 ? candidates.low : candidates.high) & (1 << (index & 31))) !== 0,
    )
    return {
      countries: named(lists?.countries ?? {}, 'countries'),
      europeanUnion:
        lists?.europeanUnion === undefined
          ? undefined
          : this.#list(lists.europeanUnion, `${path}.lists.europeanUnion`),
      continents: named(lists?.continents ?? {}, 'continents'),
      otherwise:
        lists?.default === undefined
          ? listOf(routeOrder)
          : this.#list(lists.default, `${path}.lists.default`),
    }
  }

  #mask(ids: readonly string[] | undefined, path: string): RegionMask | undefined {
    return ids === undefined ? undefined : maskOf(this.#indexes(ids, path))
  }

  #list(ids: readonly string[], path: string): RegionList {
    return listOf(this.#indexes(ids, path))
  }

  #indexes(ids: readonly string[], path: string): number[] {
    const indexes: number[] = []
    ids.forEach((id, position) => {
      const index = this.#index(id, `${path}[${position}]`)
      if (index !== undefined && !indexes.includes(index)) indexes.push(index)
    })
    return indexes
  }

  #index(id: string, path: string): number | undefined {
    const index = this.#regions.indexOf(id)
    if (index === undefined) this.#unknown(path, 'region', id, this.#regions.ids())
    return index
  }

  #unknown(path: string, what: string, name: string, known: Iterable<string>): void {
    const nearest = nearestName(name, known)
    this.#report(
      path,
      `there is no ${what} "${name}"`,
      nearest === undefined ? undefined : `did you mean "${nearest}"?`,
    )
  }
}

function listOf(indexes: readonly number[]): RegionList {
  return { row: Uint8Array.from(indexes), mask: maskOf(indexes) }
}

function weighted(weights: Float64Array): RegionMask {
  return maskOf([...weights.keys()].filter((index) => (weights[index] as number) > 0))
}

function intersect(a: RegionMask, b: RegionMask): RegionMask {
  return { low: a.low & b.low, high: a.high & b.high }
}

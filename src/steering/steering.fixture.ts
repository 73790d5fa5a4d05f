/** Small worlds for steering tests: a config in, a plan and places out. */
import * as v from 'valibot'
import { RegionsSection } from '../config/sections/regions.ts'
import { ResidencySection } from '../config/sections/residency.ts'
import { SteeringSection } from '../config/sections/steering.ts'
import { type Geo, UNKNOWN_GEO } from '../exchange.ts'
import { compileSteering, type SteeringTable } from './compile.ts'
import type { RegionHealth, Steered, SteeringRequest, SteeringResult } from './decision.ts'
import { hashKey } from './hash.ts'
import type { SteeringPlan } from './plan.ts'
import { compileRegions, maskOf, type RegionTable } from './regions.ts'
import { compileResidency } from './residency.ts'
import type { StickyTokens } from './sticky.ts'

type RegionsInput = v.InferInput<typeof RegionsSection>
type SteeringInputConfig = v.InferInput<typeof SteeringSection>

export interface WorldConfig {
  /** Ids of cloud regions, or whole entries. */
  regions: readonly (string | Partial<RegionsInput[number]>)[]
  residency?: v.InferInput<typeof ResidencySection>
  steering?: SteeringInputConfig
  route?: { regions?: string[]; residency?: string; steering?: SteeringInputConfig }
  /** Of the config before a reload. */
  previous?: SteeringTable<string>
  gateway?: { region: string } | { latitude: number; longitude: number }
  sticky?: StickyTokens
}

export interface World {
  readonly regions: RegionTable
  readonly table: SteeringTable<string>
  readonly plan: SteeringPlan
  readonly problems: string[]
  /** All regions up but these. */
  down(...ids: string[]): RegionHealth
  decide(geo: Geo, health?: RegionHealth, request?: Partial<SteeringRequest>): SteeringResult
  /** The region, or the code of the refusal. */
  where(geo: Geo, health?: RegionHealth, request?: Partial<SteeringRequest>): string
}

/** Rules' expressions are names here; a rule holds when the subject is its name. */
export function worldOf(config: WorldConfig): World {
  const problems: string[] = []
  const report = (path: string, message: string, hint?: string): void => {
    problems.push(`${path}: ${message}${hint === undefined ? '' : ` (${hint})`}`)
  }
  const entries = config.regions.map((entry) =>
    typeof entry === 'string' ? { id: entry, pools: [entry] } : { pools: ['pool'], ...entry },
  )
  const regions = compileRegions(v.parse(RegionsSection, entries), report)
  const residency = compileResidency(
    v.parse(ResidencySection, config.residency ?? []),
    regions,
    report,
  )
  const steering = v.parse(SteeringSection, config.steering ?? {})
  const own = config.route?.steering
  const table = compileSteering<string>(
    {
      regions,
      residency,
      steering,
      routes: [
        {
          path: 'routes[0]',
          regions: config.route?.regions,
          residency: config.route?.residency,
          steering: own === undefined ? undefined : v.parse(SteeringSection, own),
        },
      ],
      gateway: config.gateway,
      previous: config.previous,
      predicate: (expression) => (subject) => subject === expression,
      sticky: config.sticky === undefined ? undefined : new Map([[steering, config.sticky]]),
    },
    report,
  )
  const plan = table.plan(0, '')
  const decide: World['decide'] = (geo, health = regions.all, request = {}) =>
    plan.decide(geo, { clientHash: 1, ...request }, health)
  return {
    regions,
    table,
    plan,
    problems,
    down(...ids) {
      const gone = ids.map((id) => regions.indexOf(id))
      return maskOf([...regions.regions.keys()].filter((index) => !gone.includes(index)))
    },
    decide,
    where(geo, health, request) {
      const result = decide(geo, health, request)
      return result.outcome === 'steered' ? result.region : result.code
    },
  }
}

let nextSlot = 1

/** A place of its own slot. */
export function placeAt(latitude: number, longitude: number, facts: Partial<Geo> = {}): Geo {
  return Object.freeze({
    ...UNKNOWN_GEO,
    slot: nextSlot++,
    latitude,
    longitude,
    source: 'mmdb',
    ...facts,
  })
}

export const PLACES = {
  frankfurt: placeAt(50.1, 8.7, { country: 'DE', continent: 'EU', isEuropeanUnion: true }),
  paris: placeAt(48.9, 2.4, { country: 'FR', continent: 'EU', isEuropeanUnion: true }),
  zurich: placeAt(47.4, 8.5, { country: 'CH', continent: 'EU' }),
  newYork: placeAt(40.7, -74, { country: 'US', continent: 'NA' }),
  sanFrancisco: placeAt(37.8, -122.4, { country: 'US', continent: 'NA' }),
  singapore: placeAt(1.35, 103.8, { country: 'SG', continent: 'AS' }),
  tokyo: placeAt(35.7, 139.7, { country: 'JP', continent: 'AS' }),
  nowhere: UNKNOWN_GEO,
} as const

/** `count` clients' hashes. */
export function clients(count: number): number[] {
  return Array.from({ length: count }, (_, i) => hashKey(`198.51.${i >> 8}.${i & 255}`))
}

export function steered(result: SteeringResult): Steered {
  if (result.outcome !== 'steered') throw new Error(`refused: ${result.code}`)
  return result
}

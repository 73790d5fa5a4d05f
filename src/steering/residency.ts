/**
 * Residency: which regions may see a request at all. Decided before every other choice and part of none
 * of them, so that no failover, stickiness or spill can undo it. What is not known is refused unless the
 * rule says otherwise.
 */
import type { Report } from '../config/errors.ts'
import type { ResidencyConfig, ResidencyRuleConfig } from '../config/sections/residency.ts'
import type { Geo } from '../exchange.ts'
import type { RegionMask, RegionTable } from './regions.ts'

/** What is known about a client besides its address. */
export interface ResidencyEvidence {
  /** Verified claims of its token. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined
  /** First value of a header by lower-case name; to be given only when a trusted proxy sent the request. */
  readonly header?: ((name: string) => string | undefined) | undefined
  /** `x-meridian-residency` of a gateway in front, under the same condition. */
  readonly hop?: string | undefined
}

/** Ids of rules that bind the request, from one gateway to the next. */
export const RESIDENCY_FIELD = 'x-meridian-residency'
/** What of it is read. */
const MOST_HOP_CHARACTERS = 1024

/** Ids in a field of the gateway in front. */
export function hopRules(hop: string | undefined): readonly string[] {
  if (hop === undefined) return NONE
  const ids = hop.slice(0, MOST_HOP_CHARACTERS).split(',')
  return ids.map((id) => id.trim()).filter((id) => /^[\w.-]{1,64}$/.test(id))
}

const NONE: readonly string[] = Object.freeze([])

export interface ResidencyRule {
  readonly id: string
  readonly allowed: RegionMask
  readonly onUnknown: 'deny' | 'restrict' | 'allow'
  readonly appliesToAll: boolean
  /** Whether origins are told of it, which may be gateways themselves. */
  readonly announces: boolean
  /** Whether the rule binds the client. */
  binds(geo: Geo, evidence: ResidencyEvidence): 'yes' | 'no' | 'unknown'
}

export interface ResidencyTable {
  /** Rules that hold on every route. */
  readonly general: readonly ResidencyRule[]
  readonly byId: ReadonlyMap<string, ResidencyRule>
}

export function compileResidency(
  config: ResidencyConfig,
  regions: RegionTable,
  report: Report,
): ResidencyTable {
  const byId = new Map<string, ResidencyRule>()
  config.forEach((entry, index) => {
    const path = `residency[${index}]`
    if (byId.has(entry.id)) report(`${path}.id`, `there are two rules with the id "${entry.id}"`)
    const allowed = regions.withTags(entry.allowTags)
    if (allowed.low === 0 && allowed.high === 0) {
      report(
        `${path}.allowTags`,
        `no region has one of the tags ${entry.allowTags.join(', ')}: every request that the rule binds would be refused`,
      )
    }
    byId.set(entry.id, {
      id: entry.id,
      allowed,
      onUnknown: entry.onUnknown,
      appliesToAll: entry.scope === 'all',
      announces: entry.announce,
      binds: toldOrOwn(entry.id, compileCondition(entry.from)),
    })
  })
  const rules = [...byId.values()]
  return { general: rules.filter((rule) => rule.appliesToAll), byId }
}

/** What the gateway in front found to be bound is bound here, whatever is known of the client. */
function toldOrOwn(id: string, own: ResidencyRule['binds']): ResidencyRule['binds'] {
  return (geo, evidence) =>
    evidence.hop !== undefined && hopRules(evidence.hop).includes(id) ? 'yes' : own(geo, evidence)
}

/** A rule that holds for a request only because the gateway in front says so. */
export function toldOnly(rule: ResidencyRule): ResidencyRule {
  return {
    ...rule,
    onUnknown: 'allow',
    binds: (_geo, { hop }) => (hop !== undefined && hopRules(hop).includes(rule.id) ? 'yes' : 'no'),
  }
}

/**
 * One condition met binds. Evidence can add to what the address says and settle an address that says
 * nothing; it never frees a client whom the address binds.
 */
function compileCondition(from: ResidencyRuleConfig['from']): ResidencyRule['binds'] {
  const countries = new Set(from.countries)
  const continents = new Set<string>(from.continents)
  const { claim, header } = from
  const asksPlace = from.europeanUnion === true || countries.size > 0 || continents.size > 0
  if (!asksPlace && claim === undefined && header === undefined) return () => 'yes'
  return (geo, evidence) => {
    let settled = false
    if (asksPlace && geo.country !== null) {
      settled = true
      if (from.europeanUnion === true && geo.isEuropeanUnion) return 'yes'
      if (countries.has(geo.country)) return 'yes'
      if (geo.continent !== null && continents.has(geo.continent)) return 'yes'
    }
    const claimed = claim === undefined ? undefined : evidence.claims?.[claim.name]
    if (claim !== undefined && claimed !== undefined && claimed !== null) {
      settled = true
      if (hasOneOf(claimed, claim.values)) return 'yes'
    }
    const told = header === undefined ? undefined : evidence.header?.(header.name)
    if (header !== undefined && told !== undefined) {
      settled = true
      if (header.values.includes(told)) return 'yes'
    }
    return settled ? 'no' : 'unknown'
  }
}

/** A claim is a text or a list of texts. */
function hasOneOf(claimed: unknown, values: readonly string[]): boolean {
  if (Array.isArray(claimed)) return claimed.some((item) => hasOneOf(item, values))
  return typeof claimed === 'string' && values.includes(claimed)
}

/** What steering answers: where a request goes, or why it may go nowhere. */
import type { CandidateVerdict, Geo, SteeringDecision } from '../exchange.ts'
import type { RegionMask } from './regions.ts'
import type { ResidencyEvidence } from './residency.ts'

/** Which regions are up, as `health/` keeps it; read at each decision. */
export interface RegionHealth extends RegionMask {
  /** Share of its traffic that each region can bear, 0 to 1, by index; undefined when all bear all. */
  readonly shares?: Float64Array | undefined
}

/** What the choice may depend on besides the place. */
export interface SteeringRequest extends ResidencyEvidence {
  /** `hashKey` of what identifies the client: its address, or better its subject. */
  readonly clientHash: number
  /** Value of the sticky cookie. */
  readonly stickyToken?: string | undefined
  /** Regions that this request has been to already. */
  readonly tried?: RegionMask | undefined
}

export type SteeringReason =
  /** First of its policy: the nearest, fastest, first listed, or drawn by weight. */
  | 'first'
  /** The cheapest of those that are about as near as the first. */
  | 'cheapest'
  /** The client was there before. */
  | 'sticky'
  /** Better ones are down, drained or were tried. */
  | 'failover'
  /** Better ones keep only a share of their clients: dial, capacity, or ailing origins. */
  | 'spill'
  /** All have more than they can take. */
  | 'overloaded'
  /** None of the policy's own regions is up. */
  | 'fallback'

export interface Steered extends SteeringDecision {
  readonly outcome: 'steered'
  readonly reason: SteeringReason
  readonly regionIndex: number
  /** `order` by index. */
  readonly indexes: readonly number[]
  /** The steering rule that chose the policy; null for the route's own. */
  readonly rule: string | null
  /** Regions that were reached by the client's turn and passed it on; for `LoadBoard.arrived`. */
  readonly spilledFrom: readonly number[]
  /** Value for the sticky cookie when it is to be set. */
  readonly setSticky: string | undefined
}

export interface SteeringDenial {
  readonly outcome: 'denied'
  readonly code: /** Regions that may see the request exist, and none is up. */
    | 'residency-unavailable'
    /** No region of the route may see the request, or too little is known about the client. */
    | 'residency-denied'
    /** No region is up, and no residency rule has a part in it. */
    | 'region-unavailable'
  /** 451 is RFC 7725. */
  readonly status: 503 | 451
  /** The residency rule that narrowed the choice last; null when none did. */
  readonly residencyRule: string | null
  readonly detail: string
  /** Regions that may see the request although they are down, best first: for holding or failing open. */
  readonly lastResort: readonly string[]
  readonly lastResortIndexes: readonly number[]
}

export type SteeringResult = Steered | SteeringDenial

/** Everything about one decision, for people. */
export interface SteeringExplanation {
  readonly result: SteeringResult
  /** Where distances were measured from. */
  readonly place: Geo
  readonly policy: string
  readonly rule: string | null
  /** The unit of `cost`. */
  readonly unit: 'km' | 'ms' | 'order' | 'weight'
  readonly candidates: readonly CandidateVerdict[]
  readonly residency: readonly { readonly rule: string; readonly binds: 'yes' | 'no' | 'unknown' }[]
}

/**
 * Regions ranked for a place, best first. A ranking is made when a place is met and kept by its slot;
 * health never touches it, because what is down is masked when the ranking is read.
 */
import type { Geo } from '../exchange.ts'
import type { RegionTable } from './regions.ts'
import { unitVector } from './regions.ts'
import type { RttTable } from './rtt.ts'

/** What a region costs a client; lower is better. */
export type CostModel =
  /** Kilometres from the place. */
  | { readonly kind: 'distance' }
  /** Estimated milliseconds: distance corrected by what connections to the region really take. */
  | { readonly kind: 'estimate'; readonly rtt: RttTable }
  /** Measured milliseconds from this gateway; the same for every client. */
  | { readonly kind: 'measured'; readonly rtt: RttTable }

/** Slots are kept in a table of this size at first, and at most. */
const FIRST_CAPACITY = 256
const MOST_CAPACITY = 65_536
/** A new first region must be this much better, twice in a row, to replace the old one. */
const HYSTERESIS_SHARE = 0.1
const HYSTERESIS_MS = 5
const HYSTERESIS_ROUNDS = 2

interface Ranking {
  readonly place: Geo
  readonly row: Uint8Array
  /** Version of the measurements it was made from. */
  stamp: number
  /** How often in a row another region would have been first. */
  challenges: number
}

export class RankTable {
  readonly #regions: RegionTable
  readonly #model: CostModel
  #rankings: (Ranking | undefined)[] = new Array(FIRST_CAPACITY)
  #used = 0
  readonly #costs: Float64Array
  /** Without bias the order of distances is the order of chords. */
  readonly #byChord: boolean

  constructor(regions: RegionTable, model: CostModel) {
    this.#regions = regions
    this.#model = model
    this.#costs = new Float64Array(regions.size)
    this.#byChord =
      model.kind === 'distance' && regions.regions.every((region) => region.bias === 0)
  }

  /** Changes when rankings read before may be out of date. */
  get version(): number {
    return this.#model.kind === 'distance' ? 0 : this.#model.rtt.version
  }

  /** Indexes of all regions, best first; equal costs in the order of the config. Do not modify. */
  rank(place: Geo): Uint8Array {
    const known = this.#rankings[place.slot & (this.#rankings.length - 1)]
    // A slot's neighbour in this table, or a place that lost its slot in a swap of databases, is another object.
    if (known !== undefined && known.place === place && known.stamp === this.version) {
      return known.row
    }
    return this.#make(place, known?.place === place ? known : undefined)
  }

  /** What each region costs, by index; valid until the next call. NaN when the place is not known. */
  costs(place: Geo): Float64Array {
    const from = unitVector(place.latitude, place.longitude)
    for (let i = 0; i < this.#regions.size; i++) this.#costs[i] = this.#cost(from, i)
    return this.#costs
  }

  #chords(place: Geo): Float64Array {
    const from = unitVector(place.latitude, place.longitude)
    for (let i = 0; i < this.#costs.length; i++) {
      this.#costs[i] = this.#regions.squaredChord(from, i)
    }
    return this.#costs
  }

  #cost(from: readonly [number, number, number], index: number): number {
    const bias = this.#regions.at(index).bias
    const model = this.#model
    if (model.kind === 'measured') return biasedCost(model.rtt.fromGateway(index), bias)
    const km = this.#regions.distanceKm(from, index)
    return biasedCost(model.kind === 'distance' ? km : model.rtt.estimate(index, km), bias)
  }

  #make(place: Geo, previous: Ranking | undefined): Uint8Array {
    const costs = this.#byChord ? this.#chords(place) : this.costs(place)
    const row = previous?.row ?? new Uint8Array(this.#regions.size)
    const incumbent = previous === undefined ? -1 : (row[0] as number)
    sortByCost(row, costs)
    if (previous === undefined) {
      this.#keep({ place, row, stamp: this.version, challenges: 0 })
      return row
    }
    previous.stamp = this.version
    if (row[0] === incumbent) {
      previous.challenges = 0
    } else if (isClearlyBetter(costs[row[0] as number], costs[incumbent])) {
      previous.challenges++
      if (previous.challenges >= HYSTERESIS_ROUNDS) previous.challenges = 0
      else moveToFront(row, incumbent)
    } else {
      previous.challenges = 0
      moveToFront(row, incumbent)
    }
    return row
  }

  #keep(ranking: Ranking): void {
    let at = ranking.place.slot & (this.#rankings.length - 1)
    if (this.#rankings[at] === undefined) {
      this.#used++
      if (this.#used * 2 > this.#rankings.length && this.#rankings.length < MOST_CAPACITY) {
        this.#grow()
        at = ranking.place.slot & (this.#rankings.length - 1)
      }
    }
    this.#rankings[at] = ranking
  }

  #grow(): void {
    const old = this.#rankings
    this.#rankings = new Array(old.length * 4)
    for (const ranking of old) {
      if (ranking === undefined) continue
      this.#rankings[ranking.place.slot & (this.#rankings.length - 1)] = ranking
    }
  }
}

/**
 * Route 53's geoproximity bias: positive shrinks the cost by that many per cent, negative stretches it by
 * the inverse, so that +50 and -50 halve and double it.
 * @param bias -99 to 99
 */
export function biasedCost(cost: number, bias: number): number {
  return bias >= 0 ? cost * (1 - bias / 100) : cost / (1 + bias / 100)
}

function isClearlyBetter(challenger: number | undefined, incumbent: number | undefined): boolean {
  if (challenger === undefined || incumbent === undefined) return true
  const gain = incumbent - challenger
  return gain > HYSTERESIS_MS && gain > incumbent * HYSTERESIS_SHARE
}

/** Fills `row` with all indexes by rising cost; stable, and costs that are NaN come last. */
function sortByCost(row: Uint8Array, costs: Float64Array): void {
  for (let i = 0; i < row.length; i++) {
    const cost = costs[i] as number
    let at = i
    while (at > 0 && comesBefore(cost, costs[row[at - 1] as number] as number)) {
      row[at] = row[at - 1] as number
      at--
    }
    row[at] = i
  }
}

function comesBefore(a: number, b: number): boolean {
  return a < b || (Number.isNaN(b) && !Number.isNaN(a))
}

function moveToFront(row: Uint8Array, index: number): void {
  const at = row.indexOf(index)
  row.copyWithin(1, 0, at)
  row[0] = index
}

/**
 * Counters, gauges and histograms in typed arrays. A label set is resolved to an integer slot once, by
 * walking one map a label, and from then on costs an array access. A registry has a hard budget of time
 * series: label sets beyond it are counted under `other`, never dropped and never stored.
 */

export type MetricType = 'counter' | 'gauge' | 'histogram'
/** How a gauge of several processes becomes one. */
export type Merge = 'sum' | 'max' | 'min'

/** One metric, before it counts anything. */
export interface MetricDefinition<Labels extends readonly string[] = readonly string[]> {
  readonly name: string
  readonly type: MetricType
  readonly help: string
  readonly labels: Labels
  /** Upper bounds, rising, without +Inf; histograms only. */
  readonly buckets?: readonly number[]
  /** Gauges only; counters and histograms are summed. */
  readonly merge?: Merge
}

/** A value for each label, in order. */
export type LabelValues<Labels extends readonly string[]> = {
  readonly [Index in keyof Labels]: string
}

/** One label set with its value. For a histogram: counts by bucket (+Inf last), and the sum. */
export interface SeriesSnapshot {
  readonly labels: readonly string[]
  readonly value: number
  readonly counts?: readonly number[]
}

export interface FamilySnapshot {
  readonly definition: MetricDefinition
  readonly series: readonly SeriesSnapshot[]
}

/** Plain data: goes over a message channel between processes. */
export type MetricsSnapshot = readonly FamilySnapshot[]

/** Label value of everything beyond the budget. */
export const OTHER = 'other'

type Node = Map<string, Node | number>

/** What the families of one registry share. */
interface Budget {
  readonly limit: number
  used: number
}

/** A label set more than a family's share folds, so that one family cannot starve the others. */
const FAMILY_SHARE = 0.5

class Family {
  readonly definition: MetricDefinition
  /** Samples that count for each update that found no slot of its own. */
  folded = 0
  readonly #root: Node = new Map()
  readonly #labelSets: (readonly string[])[] = []
  readonly #budget: Budget
  /** Exposed lines a label set: 1, or buckets + sum + count. */
  readonly #weight: number
  #used = 0
  /** The slot found last, which is mostly the next one too; 0 for none. */
  #recent = 0

  constructor(definition: MetricDefinition, budget: Budget) {
    this.definition = definition
    this.#budget = budget
    this.#weight = definition.buckets === undefined ? 1 : definition.buckets.length + 3
    // Slot 0 is the only series without labels, or the one that takes the overflow.
    this.#labelSets.push(definition.labels.map(() => OTHER))
    this.#charge()
  }

  #charge(): void {
    this.#used += this.#weight
    this.#budget.used += this.#weight
  }

  get size(): number {
    return this.#labelSets.length
  }

  labelsOf(slot: number): readonly string[] {
    return this.#labelSets[slot] as readonly string[]
  }

  /**
   * The slot of a label set, made on first sight while the budget lasts; 0 beyond it. `values` is read,
   * not kept: callers may reuse one array.
   */
  slot(values: readonly string[]): number {
    const last = values.length - 1
    if (last < 0) return 0
    if (this.#recent !== 0 && isSame(values, this.labelsOf(this.#recent))) return this.#recent
    let node = this.#root
    for (let i = 0; i < last; i++) {
      const next = node.get(values[i] as string)
      if (next === undefined) return this.#add(values)
      // Inner levels hold maps only; the last level holds slots only.
      node = next as Node
    }
    const slot = node.get(values[last] as string) as number | undefined
    if (slot === undefined) return this.#add(values)
    this.#recent = slot
    return slot
  }

  /** Gives all label sets back. Slots that somebody keeps are then another's. */
  clear(): void {
    this.#root.clear()
    this.#recent = 0
    this.#labelSets.length = 1
    this.#budget.used -= this.#used - this.#weight
    this.#used = this.#weight
  }

  #add(values: readonly string[]): number {
    if (values.length !== this.definition.labels.length) {
      throw new RangeError(`${this.definition.name} has ${this.definition.labels.length} labels`)
    }
    const { limit, used } = this.#budget
    if (used + this.#weight > limit || this.#used + this.#weight > limit * FAMILY_SHARE) {
      this.folded++
      return 0
    }
    const slot = this.#labelSets.length
    this.#labelSets.push([...values])
    this.#charge()
    let node = this.#root
    for (let i = 0; i < values.length - 1; i++) {
      let next = node.get(values[i] as string) as Node | undefined
      if (next === undefined) {
        next = new Map()
        node.set(values[i] as string, next)
      }
      node = next
    }
    node.set(values[values.length - 1] as string, slot)
    return slot
  }
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function grown(array: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const next = new Float64Array(Math.max(length, array.length * 2))
  next.set(array)
  return next
}

/** A counter or a gauge. */
export class Scalar<Labels extends readonly string[] = readonly string[]> {
  readonly family: Family
  #values = new Float64Array(8)

  constructor(definition: MetricDefinition<Labels>, budget: Budget) {
    this.family = new Family(definition, budget)
    // A gauge that nobody has set is not shown, rather than shown as 0.
    if (definition.type === 'gauge') this.#values[0] = Number.NaN
  }

  /** See `Family.slot`; for the hot path, to be kept where the label set does not change. */
  slot(values: LabelValues<Labels>): number {
    const slot = this.family.slot(values)
    if (slot >= this.#values.length) this.#values = grown(this.#values, slot + 1)
    return slot
  }

  addAt(slot: number, amount = 1): void {
    this.#values[slot] = (this.#values[slot] as number) + amount
  }

  add(values: LabelValues<Labels>, amount = 1): void {
    this.addAt(this.slot(values), amount)
  }

  /** Gauges: `other` would be a meaningless mixture, so what has no slot is not shown. */
  set(values: LabelValues<Labels>, value: number): void {
    const slot = this.slot(values)
    if (slot !== 0 || values.length === 0) this.#values[slot] = value
  }

  /** Counters that are counted elsewhere and read at a scrape; `value` never falls. */
  setTotal(values: LabelValues<Labels>, value: number): void {
    this.#values[this.slot(values)] = value
  }

  /** For gauges whose label sets come and go, before they are set anew at a scrape. */
  forget(): void {
    this.family.clear()
  }

  valueAt(slot: number): number {
    return this.#values[slot] as number
  }

  snapshot(): FamilySnapshot {
    const { family } = this
    const series: SeriesSnapshot[] = []
    for (let slot = isShown(family) ? 0 : 1; slot < family.size; slot++) {
      const value = this.valueAt(slot)
      if (!Number.isNaN(value)) series.push({ labels: family.labelsOf(slot), value })
    }
    return { definition: family.definition, series }
  }
}

/** The overflow series appears once something was folded into it. */
function isShown(family: Family): boolean {
  return (
    family.definition.labels.length === 0 ||
    (family.folded > 0 && family.definition.type !== 'gauge')
  )
}

export class Histogram<Labels extends readonly string[] = readonly string[]> {
  readonly family: Family
  readonly #bounds: Float64Array
  readonly #width: number
  #counts: Float64Array
  #sums = new Float64Array(8)

  constructor(definition: MetricDefinition<Labels>, budget: Budget) {
    this.family = new Family(definition, budget)
    this.#bounds = Float64Array.from(definition.buckets ?? [])
    this.#width = this.#bounds.length + 1
    this.#counts = new Float64Array(8 * this.#width)
  }

  slot(values: LabelValues<Labels>): number {
    const slot = this.family.slot(values)
    if (slot >= this.#sums.length) {
      this.#sums = grown(this.#sums, slot + 1)
      this.#counts = grown(this.#counts, this.#sums.length * this.#width)
    }
    return slot
  }

  observeAt(slot: number, value: number): void {
    const bounds = this.#bounds
    let bucket = 0
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++
    const index = slot * this.#width + bucket
    this.#counts[index] = (this.#counts[index] as number) + 1
    this.#sums[slot] = (this.#sums[slot] as number) + value
  }

  observe(values: LabelValues<Labels>, value: number): void {
    this.observeAt(this.slot(values), value)
  }

  snapshot(): FamilySnapshot {
    const { family } = this
    const series: SeriesSnapshot[] = []
    for (let slot = isShown(family) ? 0 : 1; slot < family.size; slot++) {
      const start = slot * this.#width
      series.push({
        labels: family.labelsOf(slot),
        value: this.#sums[slot] as number,
        counts: Array.from(this.#counts.subarray(start, start + this.#width)),
      })
    }
    return { definition: family.definition, series }
  }
}

export class MetricsRegistry {
  readonly #budget: Budget
  readonly #families: { readonly family: Family; snapshot(): FamilySnapshot }[] = []
  readonly #collectors: (() => void)[] = []

  /** @param maxSeries exposed lines at most; every label set has at least one */
  constructor(maxSeries: number) {
    this.#budget = { limit: maxSeries, used: 0 }
  }

  scalar<const Labels extends readonly string[]>(
    definition: MetricDefinition<Labels>,
  ): Scalar<Labels> {
    const scalar = new Scalar(definition, this.#budget)
    this.#families.push(scalar)
    return scalar
  }

  histogram<const Labels extends readonly string[]>(
    definition: MetricDefinition<Labels>,
  ): Histogram<Labels> {
    const histogram = new Histogram(definition, this.#budget)
    this.#families.push(histogram)
    return histogram
  }

  /** Runs before each snapshot: for values that are read, not counted. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect)
  }

  /** Series in use, and the updates that found no slot, by family. */
  get seriesUsed(): number {
    return this.#budget.used
  }

  foldedByFamily(): { name: string; folded: number }[] {
    return this.#families
      .filter(({ family }) => family.folded > 0)
      .map(({ family }) => ({ name: family.definition.name, folded: family.folded }))
  }

  snapshot(): MetricsSnapshot {
    for (const collect of this.#collectors) collect()
    return this.#families.map((family) => family.snapshot())
  }
}

/**
 * A small model of RFC 9111 to hold the cache against: it knows every answer that the origin gave, and says
 * of a reply whether a shared cache may give it. Written apart from the cache, with nothing of its code.
 *
 * Each answer of the origin carries the number of its exchange in `X-Exchange`; a 304 renews it in what is
 * stored, so a reply tells when what it holds was last known to be right.
 */

/** One answer of the origin, 200 or 304. */
export interface OriginAnswer {
  readonly exchange: number
  readonly path: string
  readonly variant: string
  readonly version: number
  readonly control: string
  /** Monotonic time when the origin was asked: ages count from here (RFC 9111 §4.2.3). */
  readonly at: number
  /** Place among all events when its header reached the cache; undefined before. */
  delivered: number | undefined
  /** Clients that got it without any validation in between. */
  given: number
}

/** A reply, as the client sees it. */
export interface Observed {
  readonly path: string
  readonly variant: string
  /** Request directives that the cache honours; empty where its profile ignores them. */
  readonly directives: string
  /** Place among all events when the client asked. */
  readonly asked: number
  /** Place up to which everything had reached everybody when it asked. */
  readonly settled: number
  readonly answeredAt: number
  readonly outcome: string
  readonly reason: string
  readonly exchange: number
  /** The Age field; undefined without one. */
  readonly age: number | undefined
  /** Whether an exchange with the origin failed since the client asked. */
  readonly hadFailure: boolean
}

/** Seconds that a directive names; undefined without it. */
function seconds(control: string, name: string): number | undefined {
  const found = new RegExp(`(?:^|[ ,])${name}=(\\d+)`).exec(control)
  return found === null ? undefined : Number(found[1])
}

interface Rule {
  readonly mayShare: boolean
  readonly mayReuse: boolean
  /** Milliseconds. */
  readonly fresh: number
  readonly whileRevalidate: number
  readonly ifError: number
  readonly maxStale: boolean
}

function ruleOf(control: string, ifErrorDefault: number): Rule {
  const mayShare = !/no-store|private/.test(control)
  const mayReuse = mayShare && !/no-cache/.test(control)
  const fresh = seconds(control, 's-maxage') ?? seconds(control, 'max-age') ?? 0
  const isStrict = /must-revalidate|no-cache/.test(control)
  const isQuiet = isStrict || /s-maxage/.test(control)
  return {
    mayShare,
    mayReuse,
    fresh: fresh * 1000,
    whileRevalidate: isStrict ? 0 : (seconds(control, 'stale-while-revalidate') ?? 0) * 1000,
    ifError: isStrict
      ? 0
      : (seconds(control, 'stale-if-error') ?? (isQuiet ? 0 : ifErrorDefault)) * 1000,
    maxStale: !isQuiet,
  }
}

export class ReferenceModel {
  readonly answers: OriginAnswer[] = []
  readonly #rules = new Map<string, Rule>()
  /** By path: what was changed for good, and since when everybody must see it. */
  readonly #changes = new Map<string, { version: number; order: number }>()
  readonly #softPurged = new Map<string, number>()
  readonly #ifError: number

  /** @param ifError seconds that the route allows where the origin says nothing */
  constructor(ifError: number) {
    this.#ifError = ifError
  }

  answered(answer: Omit<OriginAnswer, 'exchange' | 'delivered' | 'given'>): OriginAnswer {
    const whole = { ...answer, exchange: this.answers.length, delivered: undefined, given: 0 }
    this.answers.push(whole)
    return whole
  }

  /** A purge or an unsafe request was answered: older versions are not for questions asked later. */
  changed(path: string, version: number, order: number): void {
    this.#changes.set(path, { version, order })
  }

  softPurged(path: string, order: number): void {
    this.#softPurged.set(path, order)
  }

  /** @returns what is wrong with a reply; undefined when the cache may give it */
  complaint(seen: Observed): string | undefined {
    const known = this.answers[seen.exchange]
    if (known === undefined) return `exchange ${seen.exchange} never was`
    if (known.delivered === undefined) return 'given before the origin said it'
    if (known.path !== seen.path) return `${known.path} was given for ${seen.path}`
    if (known.variant !== '-' && known.variant !== seen.variant) {
      return `variant ${known.variant} for ${seen.variant}`
    }
    const change = this.#changes.get(seen.path)
    if (change !== undefined && seen.asked > change.order && known.version < change.version) {
      return `version ${known.version} after ${change.version} was known`
    }
    const rule = this.#ruleOf(known.control)
    const isNew = known.delivered > seen.settled
    const age = seen.answeredAt - known.at
    known.given++
    if (!rule.mayShare && known.given > 1) return `${known.control} was given ${known.given} times`
    if (seen.age !== undefined && !isNew && seen.age !== Math.floor(age / 1000)) {
      return `Age ${seen.age} at ${age} ms`
    }
    if (isNew) return undefined
    if (!rule.mayReuse) return `${known.control} was used again`
    return this.#reuse(seen, known, rule, age)
  }

  #reuse(seen: Observed, known: OriginAnswer, rule: Rule, age: number): string | undefined {
    const staleness = age - rule.fresh
    const soft = this.#softPurged.get(seen.path)
    const wasPurged = soft !== undefined && seen.asked > soft && (known.delivered as number) < soft
    const said = `${known.control}, age ${age} ms, asked "${seen.directives}"`
    switch (seen.outcome) {
      case 'hit':
      case 'miss':
        // A miss that is not new joined a body on its way, which must be fresh just the same.
        if (staleness >= 0) return `${seen.outcome} of something stale: ${said}`
        if (wasPurged) return `a hit after a soft purge: ${said}`
        return refusedBy(seen.directives, age, rule.fresh)
      case 'stale':
        if (/no-cache/.test(seen.directives)) return `stale to no-cache: ${said}`
        if (seen.reason === 'while-revalidate') {
          if (staleness > rule.whileRevalidate) return `stale while revalidate: ${said}`
          return undefined
        }
        if (seen.reason === 'stale-if-error') {
          if (!seen.hadFailure) return `stale if error, without an error: ${said}`
          return staleness > rule.ifError ? `stale if error: ${said}` : undefined
        }
        if (seen.reason === 'max-stale') {
          const most = seconds(seen.directives, 'max-stale') ?? -1
          if (!rule.maxStale || wasPurged) return `max-stale: ${said}`
          return staleness > most * 1000 ? `past max-stale: ${said}` : undefined
        }
        return `stale by ${seen.reason}`
      default:
        return `${seen.outcome} of an old exchange: ${said}`
    }
  }

  #ruleOf(control: string): Rule {
    let rule = this.#rules.get(control)
    if (rule === undefined) {
      rule = ruleOf(control, this.#ifError)
      this.#rules.set(control, rule)
    }
    return rule
  }
}

/** RFC 9111 §5.2.1 for a fresh response. */
function refusedBy(directives: string, age: number, fresh: number): string | undefined {
  if (directives === '') return undefined
  if (/no-cache/.test(directives)) return 'a hit for no-cache'
  const most = seconds(directives, 'max-age')
  if (most !== undefined && Math.floor(age / 1000) > most) return `a hit older than max-age=${most}`
  const least = seconds(directives, 'min-fresh')
  if (least !== undefined && fresh - age < least * 1000)
    return `a hit with less than ${least} s left`
  return undefined
}

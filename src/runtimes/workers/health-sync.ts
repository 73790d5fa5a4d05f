/**
 * What the prober found, brought to an isolate's own board: read every few seconds, beside a request and
 * never in its way. A snapshot that is too old says nothing: then every origin counts as up, and the
 * isolate's own attempts decide.
 */
import type { Millis } from '../../exchange.ts'
import type { ActiveState } from '../../health/active.ts'
import type { HealthBoard } from '../../health/board.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import type { EdgeEnv } from './bindings.ts'
import type { HealthSnapshot, ProbeSpec } from './health-prober.ts'

const READ_EVERY_MS = 2000
/** A reading that has not ended by then never will: its request was over, and the platform has stopped it. */
const GIVEN_UP_MS = 10_000
/** Success after success brings an origin up; more than any `rise` that makes sense. */
const MOST_STEPS = 100

export class HealthSync {
  readonly #prober: NonNullable<EdgeEnv['PROBER']>
  readonly #clock: Clock
  readonly #log: Logger
  #readAt = Number.NEGATIVE_INFINITY
  #isReading = false
  #isStale = false
  #age: Millis | null = null

  constructor(prober: NonNullable<EdgeEnv['PROBER']>, clock: Clock, log: Logger) {
    this.#prober = prober
    this.#clock = clock
    this.#log = log
  }

  /** Age of the checks when they were read last; null before. */
  get age(): Millis | null {
    return this.#age
  }

  /** @returns the reading, when it is time for one; the caller keeps it alive */
  refresh(snapshot: Snapshot): Promise<void> | undefined {
    const now = this.#clock.monotonic()
    if (now - this.#readAt < (this.#isReading ? GIVEN_UP_MS : READ_EVERY_MS)) return undefined
    const targets = probeSpecs(snapshot)
    if (targets.length === 0) return undefined
    this.#isReading = true
    this.#readAt = now
    return this.#read(snapshot, targets)
  }

  /** Tells the prober what to check, and wakes it if it has stopped. */
  async ensure(snapshot: Snapshot): Promise<void> {
    const targets = probeSpecs(snapshot)
    await this.#stub().ensure(JSON.stringify(targets), targets)
  }

  #stub() {
    return this.#prober.get(this.#prober.idFromName('prober'))
  }

  async #read(snapshot: Snapshot, targets: readonly ProbeSpec[]): Promise<void> {
    try {
      const found = await this.#stub().snapshot()
      this.#age = found.at === 0 ? null : this.#clock.now() - found.at
      if (found.at === 0) await this.ensure(snapshot)
      this.#adopt(snapshot.health, found, targets)
    } catch (error) {
      this.#log.warn('the health prober does not answer', {
        error: error instanceof Error ? error.message : String(error),
      })
    } finally {
      this.#readAt = this.#clock.monotonic()
      this.#isReading = false
    }
  }

  #adopt(board: HealthBoard, found: HealthSnapshot, targets: readonly ProbeSpec[]): void {
    const now = this.#clock.now()
    let isStale = false
    for (const { origin, health } of targets) {
      const checked = found.origins[origin.id]
      if (checked === undefined) continue
      const isOld = now - found.at > 3 * health.interval + health.timeout
      isStale ||= isOld
      const state = isOld ? 'up' : checked.state
      const detail = isOld ? 'the last check is too old' : checked.detail
      adoptState(board, origin.id, state, detail, checked.draining, this.#clock.monotonic())
    }
    if (isStale && !this.#isStale) {
      this.#log.warn('health checks have stopped; all origins count as up', { ageMs: this.#age })
    }
    this.#isStale = isStale
  }
}

/** Brings an origin's record to a state that others have established. */
function adoptState(
  board: HealthBoard,
  id: string,
  state: ActiveState,
  detail: string,
  drain: boolean,
  now: Millis,
): void {
  if (state === 'unknown') return
  const ok = state === 'up'
  let steps = 0
  do board.onProbe(id, { ok, detail, immediate: !ok, drain }, now)
  while (board.active(id).state !== state && ++steps < MOST_STEPS)
}

export function probeSpecs({ config, pools }: Snapshot): ProbeSpec[] {
  const specs: ProbeSpec[] = []
  for (const [id, pool] of pools) {
    const health = config.pools[id]?.health
    if (health === undefined) continue
    for (const { address } of pool.origins) specs.push({ origin: address, health })
  }
  return specs
}

/**
 * The notice board as one isolate follows it: read whole before the first request, then every second beside
 * the traffic. Until it was read once, nobody knows who is revoked, and tokens are refused.
 */

import type { CachePolicy } from '../../cache/policy/cache-policy.ts'
import { purgeNames } from '../../cache/purge/purge-request.ts'
import type { PurgeRequest, ResponseCache } from '../../cache/response-cache.ts'
import type { Millis } from '../../exchange.ts'
import type { Revocation, RevocationKind, RevocationList } from '../../iam/revocation.ts'
import { PenaltyBox, parsePenaltyKey, penaltyKey } from '../../limits/penalty-box.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import type { EdgeEnv } from './bindings.ts'
import type { Notice } from './notice-board.ts'
import type { ShutOut } from './penalty-ledger.ts'
import { PenaltyTeller, type TellerOptions } from './penalty-teller.ts'

const READ_EVERY_MS = 1000
/** A reading that has not ended by then never will: its request was over, and the platform has stopped it. */
const GIVEN_UP_MS = 5000
/** The first request waits for the board, but not for ever. */
const PATIENCE_MS = 1500
/** Clocks of two machines differ by less; a purge that is younger also takes what was stored just after it. */
const SKEW_MS = 10_000

/** Of all routes that store. */
export function cachePolicies({ routes }: Snapshot): CachePolicy[] {
  return routes.flatMap(({ cache }) => (cache === undefined ? [] : [cache.route.base]))
}

export class NoticeSync {
  readonly #board: NonNullable<EdgeEnv['NOTICES']>
  readonly #cache: ResponseCache | undefined
  readonly #clock: Clock
  readonly #log: Logger
  readonly #teller: PenaltyTeller
  readonly #observe: TellerOptions['observe']
  #revocations: RevocationList | undefined
  #box: PenaltyBox | undefined
  #sequence = 0
  #penaltySequence = 0
  #readAt: Millis = Number.NEGATIVE_INFINITY
  #succeededAt: Millis | undefined
  #isReading = false
  #hasFailed = false

  constructor(
    board: NonNullable<EdgeEnv['NOTICES']>,
    cache: ResponseCache | undefined,
    clock: Clock,
    log: Logger,
    { keepAlive, observe }: Pick<TellerOptions, 'keepAlive' | 'observe'>,
  ) {
    const send = (clients: readonly ShutOut[]) => this.#stub().shutOut(clients)
    this.#teller = new PenaltyTeller({ send, clock, log, keepAlive, observe })
    this.#observe = observe
    this.#board = board
    this.#cache = cache
    this.#clock = clock
    this.#log = log
  }

  /** Since the board was read last; null before. */
  get age(): Millis | null {
    return this.#succeededAt === undefined ? null : this.#clock.monotonic() - this.#succeededAt
  }

  /** @returns the reading, when it is time for one; the caller keeps it alive */
  refresh(snapshot: Snapshot): Promise<void> | undefined {
    this.#follow(snapshot)
    const now = this.#clock.monotonic()
    const pause = this.#isReading ? GIVEN_UP_MS : READ_EVERY_MS
    if (now - this.#readAt < pause) return undefined
    return this.#read()
  }

  /**
   * The first reading; ends when it is done, or when the first request has waited long enough. Then nobody
   * knows what was purged, and this isolate believes nothing that is older than itself.
   */
  async start(snapshot: Snapshot): Promise<void> {
    this.#follow(snapshot)
    const patience = new Promise<void>((resolve) => {
      this.#clock.after(PATIENCE_MS, () => resolve())
    })
    await Promise.race([this.#read(), patience])
    if (this.#succeededAt !== undefined || this.#cache === undefined) return
    const { epochs } = this.#cache
    epochs.adopt('all', false, epochs.stamp())
    this.#log.warn('the notice board was not read in time: nothing older than this isolate is used')
  }

  /** Purges everywhere: here at once, elsewhere within a second. @returns when */
  async purge(order: PurgeRequest, snapshot: Snapshot): Promise<Millis> {
    const names = purgeNames(order, cachePolicies(snapshot))
    const at = await this.#stub().purge(names, order.mode === 'soft')
    await this.#read()
    return at
  }

  async revoke(revocation: Revocation): Promise<void> {
    await this.#stub().revoke(revocation)
    await this.#read()
  }

  async restore(of: RevocationKind, value: string): Promise<void> {
    await this.#stub().restore(of, value)
    await this.#read()
  }

  revocations(): Promise<Revocation[]> {
    return this.#stub().revocations()
  }

  /** Shuts a client out of every isolate, for an operator. */
  async shutOut(client: ShutOut): Promise<void> {
    await this.#stub().shutOut([client])
    await this.#read()
  }

  /** Lets a client out of every isolate's box. */
  async letOut(key: string): Promise<void> {
    await this.#stub().letOut(key)
    await this.#read()
  }

  penalties(): Promise<ShutOut[]> {
    return this.#stub().penalties()
  }

  #stub() {
    return this.#board.get(this.#board.idFromName('notices'))
  }

  /** A config that brings identity with it has a list that knows nothing yet. */
  #follow({ identity, penaltyBox }: Snapshot): void {
    const box = penaltyBox instanceof PenaltyBox ? penaltyBox : undefined
    if (box !== this.#box) {
      this.#box = box
      // Read anew: the box may have been made before what was heard last.
      this.#penaltySequence = 0
      if (box !== undefined) {
        box.onShutOut = (ip, time, terms) => this.#teller.tell({ key: penaltyKey(ip), time, terms })
      }
    }
    if (identity?.revocations === this.#revocations) return
    this.#revocations = identity?.revocations
    if (this.#revocations === undefined) return
    this.#revocations.isKnown = false
    this.#sequence = 0
    this.#readAt = Number.NEGATIVE_INFINITY
  }

  async #read(): Promise<void> {
    this.#isReading = true
    this.#readAt = this.#clock.monotonic()
    const revocations = this.#revocations
    try {
      let hasMore = true
      while (hasMore) {
        const box = this.#box
        const known = box === undefined ? undefined : this.#penaltySequence
        const page = await this.#stub().since(this.#sequence, known)
        // A config was taken over meanwhile: it reads from the beginning.
        if (revocations !== this.#revocations || box !== this.#box) return
        for (const notice of page.notices) this.#apply(notice)
        this.#sequence = page.sequence
        if (page.penalties !== undefined) {
          for (const penalty of page.penalties.penalties) this.#punish(penalty)
          this.#penaltySequence = page.penalties.sequence
        }
        // Tokens do not wait for the rest of a long list of attackers.
        if (!page.hasMore && revocations !== undefined) {
          revocations.isKnown = true
          revocations.expire(this.#clock.now() / 1000)
        }
        hasMore = page.hasMore || page.penalties?.hasMore === true
      }
      this.#succeededAt = this.#clock.monotonic()
      this.#hasFailed = false
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#readAt = this.#clock.monotonic()
      this.#isReading = false
    }
  }

  #apply(notice: Notice): void {
    switch (notice.kind) {
      case 'purge': {
        const { name, soft, at } = notice
        const epochs = this.#cache?.epochs
        const isYoung = this.#clock.now() - at < SKEW_MS
        epochs?.adopt(name, soft, isYoung ? Math.max(at, epochs.stamp()) : at)
        return
      }
      case 'revoke':
        this.#revocations?.add(notice.revocation)
        return
      case 'restore':
        this.#revocations?.remove(notice.of, notice.value)
    }
  }

  #punish({ key, time, terms }: ShutOut): void {
    const ip = parsePenaltyKey(key)
    if (ip === undefined) return
    this.#observe('received', 1)
    if (time > 0) this.#box?.join(ip, time, terms)
    else this.#box?.release(ip)
  }

  #failed(error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#log.warn(
      'the notice board does not answer: purges, revocations and penalties of others are late',
      {
        error: error instanceof Error ? error.message : String(error),
        ...(this.#revocations?.isKnown === false ? { tokens: 'refused until it does' } : {}),
      },
    )
  }
}

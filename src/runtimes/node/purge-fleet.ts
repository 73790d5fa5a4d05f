/**
 * Purges for every gateway of a fleet: what is purged or invalidated here is told through Redis, what was
 * told there is purged here. Nothing is lost while Redis is away: what could not be told waits, what was
 * missed is read again by its number, and until then nothing is taken out of the shared tier.
 */
import { randomBytes } from 'node:crypto'
import { PurgeEpochs, type PurgeVerdict } from '../../cache/purge/epochs.ts'
import type { PurgeNote, ResponseCache } from '../../cache/response-cache.ts'
import type { Logger } from '../../ports.ts'
import {
  type BoardNotice,
  MOST_NAMES,
  type Place,
  PurgeBoard,
  type PurgedName,
} from './purge-board.ts'
import { type RedisConnection, RedisUnavailable } from './redis.ts'

/** How often the board is asked although nothing was said: a lost message costs no more than this. */
const ASK_MS = 750
/** Waiting names beyond this become one purge of everything. */
const MOST_WAITING = 20_000
/** A server that lost everything is told again what was told within this time. */
const TOLD_AGAIN_MS = 3_600_000

/** Whether other gateways know. */
export type Told = 'told' | 'waiting'

export interface FleetObserver {
  purges(direction: 'told' | 'heard', names: number): void
}

interface Waiting extends PurgeNote {
  /** `performance.now()`. */
  readonly at: number
}

export interface FleetOptions {
  readonly log: Logger
  readonly observer: FleetObserver
  /** Generation that was known when the process ended, where something outlives it. */
  readonly generation?: { read(): string | undefined; write(generation: string): void } | undefined
}

export class PurgeFleet {
  readonly #board: PurgeBoard
  readonly #options: FleetOptions
  /** Of this process: two on one host may have the same node name. */
  readonly #self = randomBytes(6).toString('hex')
  #cache: ResponseCache | undefined
  #place: Place | undefined
  #floor = 0
  /** Names by the number of their last purge. */
  #heard = new PurgeEpochs(() => 0)
  readonly #waiting = new Map<string, Waiting>()
  /** Told by this process. */
  #told: Waiting[] = []
  #asking: Promise<boolean> | undefined
  #telling: Promise<boolean> | undefined
  #timer: NodeJS.Timeout | undefined
  #isQuiet = true

  constructor(redis: RedisConnection, options: FleetOptions) {
    this.#board = new PurgeBoard(redis)
    this.#options = options
  }

  /** Listens to both sides. Resolves when what was told before is known, or Redis is away. */
  async attach(cache: ResponseCache): Promise<void> {
    this.#cache = cache
    cache.epochs.onPurge((name, soft, _at, isOwn) => {
      if (!isOwn) return
      if (this.#waiting.size === 0) setImmediate(() => void this.#tell())
      this.#wait(name, soft)
    })
    this.#board.listen(
      (notice) => this.#heardOf(notice),
      () => void this.#catchUp(),
    )
    this.#timer = setInterval(() => void this.#catchUp(), ASK_MS)
    this.#timer.unref()
    await this.#catchUp()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Names that wait to be told. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** What a new response can say to have seen; undefined before the board was read. */
  get place(): Place | undefined {
    return this.#place
  }

  /** A stamp of this process: later than every purge that it knows. */
  stamp(): number {
    return this.#cache?.epochs.stamp() ?? 0
  }

  /** Tells the fleet of an order that was carried out here. */
  tell(names: readonly string[], soft: boolean): Promise<Told> {
    for (const name of names) this.#wait(name, soft)
    return this.#tell().then((done) => (done ? 'told' : 'waiting'))
  }

  /**
   * What purges have done to a response of the shared tier.
   * @param since what the gateway that stored it had seen
   */
  verdict(names: readonly string[], since: Place): PurgeVerdict {
    if (since.generation !== this.#place?.generation || since.number < this.#floor) return 'hard'
    let verdict = this.#heard.verdict(names, since.number + 0.5)
    if (this.#waiting.size === 0) return verdict
    for (const name of names) {
      if (this.#waiting.has(`h${name}`)) return 'hard'
      if (this.#waiting.has(`s${name}`) && verdict === 'live') verdict = 'soft'
    }
    return verdict
  }

  /**
   * Makes sure that everything told so far is known, for what has just been read from the shared tier.
   * @throws RedisUnavailable, or the server's own error
   */
  async seenAll(): Promise<boolean> {
    const now = await this.#board.place()
    // A question under way may have been answered before that number was given.
    for (let round = 0; round < 3; round++) {
      const known = this.#place
      if (now === undefined) return false
      if (now.generation === known?.generation && now.number <= known.number) return true
      if (!(await this.#catchUp())) return false
    }
    return false
  }

  #wait(name: string, soft: boolean): void {
    this.#waiting.set(`${soft ? 's' : 'h'}${name}`, { name, soft, at: performance.now() })
    if (this.#waiting.size <= MOST_WAITING) return
    this.#waiting.clear()
    this.#waiting.set('hall', { name: 'all', soft: false, at: performance.now() })
  }

  /** @returns whether nothing waits any more */
  async #tell(): Promise<boolean> {
    // One at a time: what came meanwhile goes along with the next.
    while (this.#telling !== undefined) await this.#telling
    if (this.#waiting.size === 0) return true
    this.#telling = this.#tellAll()
    const done = await this.#telling
    this.#telling = undefined
    return done
  }

  async #tellAll(): Promise<boolean> {
    while (this.#waiting.size > 0) {
      const notes = [...this.#waiting].slice(0, MOST_NAMES)
      try {
        const place = await this.#board.tell(
          this.#self,
          notes.map(([, note]) => note),
        )
        for (const [key, note] of notes) {
          this.#note({ name: note.name, soft: note.soft, number: place.number }, place.generation)
          if (this.#waiting.get(key) === note) this.#waiting.delete(key)
          this.#told.push(note)
        }
        const since = performance.now() - TOLD_AGAIN_MS
        if (this.#told.length > MOST_WAITING || (this.#told[0]?.at ?? since) < since) {
          this.#told = this.#told.filter(({ at }) => at >= since).slice(-MOST_WAITING)
        }
        this.#options.observer.purges('told', notes.length)
      } catch (error) {
        this.#complain(error)
        return false
      }
    }
    if (!this.#isQuiet) this.#options.log.info('purges that waited have been told to the fleet')
    this.#isQuiet = true
    return true
  }

  /** Says once for each outage that purges wait. */
  #complain(error: unknown): void {
    if (!this.#isQuiet) return
    this.#isQuiet = false
    this.#options.log.warn(
      'a purge could not be told to the fleet: it waits, and is told when Redis answers',
      {
        reason: error instanceof Error ? error.message : String(error),
        waiting: this.#waiting.size,
      },
    )
  }

  #heardOf(notice: BoardNotice | undefined): void {
    const place = this.#place
    if (
      notice === undefined ||
      place === undefined ||
      notice.generation !== place.generation ||
      notice.number > place.number + 1
    ) {
      void this.#catchUp()
      return
    }
    if (notice.number <= place.number) return
    this.#apply(notice.names, notice.generation, notice.by === this.#self)
    this.#place = { generation: notice.generation, number: notice.number }
  }

  /** Reads what was missed, and tells what waits. @returns false when Redis did not answer */
  #catchUp(): Promise<boolean> {
    this.#asking ??= this.#readAll().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async #readAll(): Promise<boolean> {
    try {
      for (;;) {
        const before = this.#place
        const page = await this.#board.read(before)
        // A message that came meanwhile has been applied; what is read again does no harm.
        if (before?.generation !== page.generation) this.#newGeneration(before, page.generation)
        else if (page.floor > before.number) this.#adopt('all', false)
        this.#floor = page.floor
        this.#apply(page.names, page.generation, false)
        const known = this.#place
        if (known?.generation !== page.generation || page.number > known.number) {
          this.#place = { generation: page.generation, number: page.number }
        }
        if (!page.isPart) break
      }
    } catch (error) {
      if (!(error instanceof RedisUnavailable)) this.#complain(error)
      return false
    }
    if (this.#waiting.size > 0) void this.#tell()
    return true
  }

  /** The server has lost its state, or is another: what it no longer knows is told again. */
  #newGeneration(before: Place | undefined, generation: string): void {
    const { generation: kept } = this.#options
    this.#heard = new PurgeEpochs(() => 0)
    this.#place = undefined
    const since = performance.now() - TOLD_AGAIN_MS
    for (const note of this.#told) if (note.at >= since) this.#wait(note.name, note.soft)
    this.#told = []
    if (before === undefined) {
      // What lies on disk from an earlier run may have been purged while nobody listened.
      const known = kept?.read()
      if (known !== undefined && known !== generation) this.#adopt('all', false)
    }
    kept?.write(generation)
  }

  #apply(names: readonly PurgedName[], generation: string, isOwn: boolean): void {
    for (const purged of names) {
      this.#note(purged, generation)
      if (!isOwn) this.#adopt(purged.name, purged.soft)
    }
    if (!isOwn && names.length > 0) this.#options.observer.purges('heard', names.length)
  }

  #note({ name, soft, number }: PurgedName, generation: string): void {
    const known = this.#place?.generation
    if (known !== undefined && known !== generation) return
    // Responses stored with this number had seen it: theirs counts as half a number later.
    this.#heard.adopt(name, soft, number)
  }

  #adopt(name: string, soft: boolean): void {
    const epochs = this.#cache?.epochs
    epochs?.adopt(name, soft, epochs.stamp())
  }
}

/**
 * The audit log: every change that came by the control port and every refused attempt, each entry chained to
 * the one before it by its hash, so that an edited, removed or inserted line shows. One JSON object a line:
 * `hash` is the SHA-256 of the line up to it, `prev` the hash of the line before. Pure but for the store.
 */
import type { Millis } from '../exchange.ts'
import { sha256 } from '../expression/sha256.ts'
import { encodeHex, utf8 } from '../iam/encoding.ts'

/** `prev` of the first entry. */
export const GENESIS = '0'.repeat(64)

export interface AuditEvent {
  readonly principal: string
  /** The caller's address, as the runtime names it. */
  readonly peer: string
  /** What was asked for: `region.drain`, `config.publish`; `request` for what was refused before that was clear. */
  readonly action: string
  /** What it was about: a region, a ruleset, an address; the path for a refused request. */
  readonly target: string
  /** `refused`: not allowed. `failed`: allowed, and could not be done. */
  readonly outcome: 'done' | 'refused' | 'failed'
  /** Of the answer. */
  readonly status: number
  readonly reason?: string | undefined
  readonly detail?: Readonly<Record<string, string | number | boolean>> | undefined
}

export interface AuditEntry extends AuditEvent {
  /** From 1, without gaps. */
  readonly seq: number
  /** RFC 3339, UTC. */
  readonly time: string
  readonly prev: string
  readonly hash: string
}

/** The last entry of a log. */
export interface ChainHead {
  readonly seq: number
  readonly hash: string
}

/** Keeps lines. Never throws: what cannot be kept is the store's to count and to show. */
export interface AuditStore {
  append(line: string): void
}

export interface AuditState {
  readonly seq: number
  readonly hash: string
  /** Refused attempts that had no line of their own: there were too many at once. */
  readonly unlisted: number
}

/** Refused attempts that get lines of their own, a minute: nobody can fill the disk by being refused. */
const REFUSALS_A_MINUTE = 60
const MINUTE_MS: Millis = 60_000
/** Longest text of a caller that is kept. */
const MAX_TEXT = 512

export class AuditLog {
  readonly #now: () => Millis
  readonly #store: AuditStore | undefined
  readonly #ring: AuditEntry[] = []
  readonly #kept: number
  #head: ChainHead
  #minute = 0
  #refusals = 0
  #pending = 0
  #unlisted = 0

  /**
   * @param now   milliseconds since the epoch
   * @param store undefined: entries live in memory only
   * @param head  of the log so far
   * @param kept  entries that can be asked for
   */
  constructor(now: () => Millis, store?: AuditStore, head?: ChainHead, kept = 1000) {
    this.#now = now
    this.#store = store
    this.#head = head ?? { seq: 0, hash: GENESIS }
    this.#kept = kept
  }

  get state(): AuditState {
    return { ...this.#head, unlisted: this.#unlisted }
  }

  /** @returns the entry; undefined for a refusal that was only counted */
  record(event: AuditEvent): AuditEntry | undefined {
    const now = this.#now()
    if (event.outcome === 'refused' && !this.#hasRoom(now)) {
      this.#pending++
      this.#unlisted++
      return undefined
    }
    const unlisted = this.#pending
    this.#pending = 0
    const detail = unlisted === 0 ? event.detail : { ...event.detail, refusedBefore: unlisted }
    const entry = chained(
      {
        seq: this.#head.seq + 1,
        time: new Date(now).toISOString(),
        principal: cut(event.principal),
        peer: cut(event.peer),
        action: event.action,
        target: cut(event.target),
        outcome: event.outcome,
        status: event.status,
        ...(event.reason === undefined ? {} : { reason: cut(event.reason) }),
        ...(detail === undefined ? {} : { detail }),
      },
      this.#head.hash,
    )
    this.#head = { seq: entry.seq, hash: entry.hash }
    this.#ring.push(entry)
    if (this.#ring.length > this.#kept) this.#ring.shift()
    this.#store?.append(JSON.stringify(entry))
    return entry
  }

  /** Entries after `seq`, oldest first; of more than `limit` the newest. */
  after(seq: number, limit: number): readonly AuditEntry[] {
    return this.#ring.filter((entry) => entry.seq > seq).slice(-limit)
  }

  #hasRoom(now: Millis): boolean {
    if (now - this.#minute >= MINUTE_MS || now < this.#minute) {
      this.#minute = now
      this.#refusals = 0
    }
    this.#refusals++
    return this.#refusals <= REFUSALS_A_MINUTE
  }
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}

/** `prev` and `hash` come last: the line without `hash` is what is hashed. */
function chained(entry: Omit<AuditEntry, 'prev' | 'hash'>, prev: string): AuditEntry {
  const linked = { ...entry, prev }
  return { ...linked, hash: encodeHex(sha256(utf8(JSON.stringify(linked)))) }
}

const LINE = /^(\{.*),"hash":"([0-9a-f]{64})"\}$/

export interface CheckedLine extends ChainHead {
  readonly prev: string
}

/** One line on its own: what it says of itself, or what is wrong with it. */
export function checkLine(line: string): CheckedLine | string {
  const parts = LINE.exec(line)
  const [, body, hash] = parts ?? []
  if (body === undefined || hash === undefined) return 'this is no entry of an audit log'
  let value: { readonly seq?: unknown; readonly prev?: unknown }
  try {
    value = JSON.parse(`${body}}`)
  } catch {
    return 'this is not JSON'
  }
  const { seq, prev } = value
  if (typeof seq !== 'number' || typeof prev !== 'string') return 'it has no "seq" or no "prev"'
  if (encodeHex(sha256(utf8(`${body}}`))) !== hash) {
    return 'its hash does not fit: the line was changed'
  }
  return { seq, prev, hash }
}

/** What is wrong with a line after the one before it; undefined when it follows. */
export function brokenLink(line: CheckedLine, before: ChainHead | undefined): string | undefined {
  if (before === undefined) {
    return line.seq === 1 && line.prev === GENESIS
      ? undefined
      : `it is entry ${line.seq}, and does not begin a chain: what stood before it is missing`
  }
  if (line.seq !== before.seq + 1) {
    return `entry ${line.seq} follows entry ${before.seq}: lines were removed, added or moved`
  }
  return line.prev === before.hash
    ? undefined
    : `it does not follow the line before it: that one was changed, or another stood there`
}

/**
 * Purge by epochs: a purge notes a name and a time, a stored response knows the names it answers to and
 * when its fill began. Nothing is searched and nothing is indexed: whatever began before the purge is no
 * longer there at its next use, in every tier, and a fill that was under way is void as well.
 *
 * Stamps are wall-clock milliseconds made strictly increasing within the process (a hybrid logical
 * clock), so that purges of other nodes can be compared and a clock that steps back does no harm.
 */
import type { Millis } from '../../exchange.ts'

interface Epoch {
  hardAt: number
  softAt: number
}

/** @param isOwn false for a purge that another process has made */
export type PurgeListener = (name: string, soft: boolean, at: number, isOwn: boolean) => void

/** What purges have done to a response. */
export type PurgeVerdict = 'live' | 'soft' | 'hard'

export class PurgeEpochs {
  /** Changes with every purge; a response compared with this version need not be compared again. */
  version = 0
  readonly #now: () => Millis
  readonly #epochs = new Map<string, Epoch>()
  readonly #capacity: number
  readonly #listeners: PurgeListener[] = []
  #last = 0
  #lastTag = 0
  /** Anything begun before this is gone: what was forgotten when the table was full. */
  #floor = 0

  /** @param capacity most names remembered; beyond it the oldest is forgotten by purging everything older */
  constructor(now: () => Millis, capacity = 65_536) {
    this.#now = now
    this.#capacity = capacity
  }

  /** Tells `listener` of every purge from now on, to keep it or to pass it on. */
  onPurge(listener: PurgeListener): void {
    this.#listeners.push(listener)
  }

  /** A new stamp, later than every stamp and purge seen. */
  stamp(): number {
    this.#last = Math.max(this.#now(), this.#last + 1 / 1024)
    return this.#last
  }

  get size(): number {
    return this.#epochs.size
  }

  /** @param at a stamp made before, for several names purged as one */
  purge(name: string, soft: boolean, at: number = this.stamp()): number {
    return this.#purge(name, soft, at, true)
  }

  /** A purge made by another process: it is not passed on again. */
  adopt(name: string, soft: boolean, at: number): void {
    this.#purge(name, soft, at, false)
  }

  #purge(name: string, soft: boolean, at: number, isOwn: boolean): number {
    if (at > this.#last) this.#last = at
    if (name.startsWith('tag:') || name.startsWith('grp:')) this.#lastTag = at
    const epoch = this.#epochs.get(name) ?? { hardAt: 0, softAt: 0 }
    if (soft) epoch.softAt = Math.max(epoch.softAt, at)
    else epoch.hardAt = Math.max(epoch.hardAt, at)
    // Renewed names go to the end, so that the first is always the oldest.
    this.#epochs.delete(name)
    this.#epochs.set(name, epoch)
    if (this.#epochs.size > this.#capacity) {
      for (const [oldest, { hardAt, softAt }] of this.#epochs) {
        this.#floor = Math.max(this.#floor, hardAt, softAt)
        this.#epochs.delete(oldest)
        break
      }
    }
    this.version++
    for (const listener of this.#listeners) listener(name, soft, at, isOwn)
    return at
  }

  verdict(names: readonly string[], stamp: number): PurgeVerdict {
    if (stamp <= this.#floor) return 'hard'
    let verdict: PurgeVerdict = 'live'
    for (const name of names) {
      const epoch = this.#epochs.get(name)
      if (epoch === undefined) continue
      if (stamp <= epoch.hardAt) return 'hard'
      if (stamp <= epoch.softAt) verdict = 'soft'
    }
    return verdict
  }

  /**
   * Whether one of the names, or any tag, was purged a moment ago: another cache may not know yet, and what a
   * response's tags are shows when it is here.
   */
  isRecent(names: readonly string[], window: Millis): boolean {
    const since = this.#now() - window
    return this.#lastTag > since || this.verdict(names, since) !== 'live'
  }

  /** Forgets purges before `before`: no stored response is that old. */
  forget(before: number): void {
    for (const [name, { hardAt, softAt }] of this.#epochs) {
      if (Math.max(hardAt, softAt) >= before) break
      this.#epochs.delete(name)
    }
  }
}

/** Depth of path prefixes that can be purged. */
const MAX_DEPTH = 16

export function urlEpoch(url: string): string {
  return `url:${url}`
}

/** @param origin scheme://authority */
export function groupEpoch(origin: string, group: string): string {
  return `grp:${origin} ${group}`
}

/**
 * The names that a response answers to.
 * @param path begins with a slash, without query
 */
export function epochNames(
  scheme: string,
  authority: string,
  path: string,
  url: string,
  tags: readonly string[],
  groups: readonly string[],
): string[] {
  const names = ['all', `host:${authority}`, urlEpoch(url)]
  let depth = 0
  for (let at = path.indexOf('/'); at >= 0 && depth < MAX_DEPTH; at = path.indexOf('/', at + 1)) {
    names.push(`pfx:${authority}${path.slice(0, at + 1)}`)
    depth++
  }
  for (const tag of tags) names.push(`tag:${tag}`)
  for (const group of groups) names.push(groupEpoch(`${scheme}://${authority}`, group))
  return names
}

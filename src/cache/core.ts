/** What the parts of the cache share: the stores, the fills under way, purges, the clock. */
import type { HeaderList, Millis, Reply } from '../exchange.ts'
import type { Clock, Random } from '../ports.ts'
import type { Abortable, FillTable } from './fill/fill-table.ts'
import type { CacheControl } from './http/cache-control.ts'
import { parseCacheControl } from './http/cache-control.ts'
import { prefersLanguage, selectingSignature } from './http/vary.ts'
import type { CacheRequest, RequestKey } from './key/cache-key.ts'
import type { SearchVariance } from './key/search-variance.ts'
import type { CachePolicy } from './policy/cache-policy.ts'
import type { StatusFormat, StoredResponse } from './policy/stored-response.ts'
import type { PurgeEpochs } from './purge/epochs.ts'
import type { CacheStore, StoredVariants } from './store/cache-store.ts'
import type { MemoryStore } from './store/memory-store.ts'

/** One exchange with the origin, as the cache wants it. */
export interface ForwardOptions {
  readonly method: string
  /** Host to send. */
  readonly authority: string
  readonly pathAndQuery: string
  /** The client's fields, flat, with conditions and ranges of the cache's own. */
  readonly headers: readonly string[]
  /** Whether the client's body goes along. */
  readonly withBody: boolean
  /** Whose end stops the exchange: the client's request, or a fill that has more readers. */
  readonly control: Abortable
  /** Whether another cache of the fleet may be asked in place of the origin. */
  readonly mayShield: boolean
  /** The client already has its answer (a refresh in the background). */
  readonly isDetached: boolean
}
/** @throws UpstreamError when no origin answered */
export type Forward = (options: ForwardOptions) => Reply | Promise<Reply>

export interface CacheCounters {
  hits: number
  staleHits: number
  revalidated: number
  misses: number
  passes: number
  collapsed: number
  fills: number
  fillsFailed: number
  hitForMiss: number
  purges: number
  invalidations: number
}

export interface CacheCore {
  readonly memory: MemoryStore
  /** A slower, larger tier. */
  readonly lower: CacheStore | undefined
  readonly fills: FillTable
  readonly epochs: PurgeEpochs
  readonly search: SearchVariance
  readonly clock: Clock
  readonly random: Random
  readonly format: StatusFormat
  /** The largest body that is kept in memory. */
  readonly maxMemoryObject: number
  readonly fillMemory: number
  readonly counters: CacheCounters
}

/** A request that memory could not answer at once. */
export interface Pending {
  /** Replaced by a copy once the client has its answer. */
  request: CacheRequest
  readonly policy: CachePolicy
  readonly flags: number
  readonly directives: CacheControl
  key: RequestKey
  readonly forward: Forward
  readonly isAuthenticated: boolean
  /** Set for a slice of a larger object: the key of the whole. */
  readonly wholeKey?: RequestKey
  /** A slice after the first: its client has the header already. */
  readonly isLaterSlice?: boolean
  /** The client has the header of a body that broke off: this asks for the same once more. */
  readonly isSecond?: boolean
  /** Set once the slower tiers have been asked. */
  askedLower?: boolean
  /** All that is stored under the key. */
  variants: StoredVariants | undefined
  /** What matches the request, fresh or not. */
  stored: StoredResponse | undefined
}

/** Cache-Control of the request; Pragma stands in where there is none. */
export function requestDirectives(headers: HeaderList): CacheControl {
  const text = headers.joined('cache-control')
  const directives = parseCacheControl(text)
  if (text === undefined && headers.joined('pragma')?.toLowerCase().includes('no-cache')) {
    directives.noCache = true
  }
  return directives
}

/** Whether purges have left it alone; the verdict is kept until the next purge. */
export function isLive(core: CacheCore, stored: StoredResponse): boolean {
  if (stored.source?.isThere === false) return false
  if (stored.checkedVersion === core.epochs.version) return true
  const verdict = core.epochs.verdict(stored.epochNames, stored.stamp)
  if (verdict === 'hard') return false
  stored.isSoftPurged = verdict === 'soft'
  stored.checkedVersion = core.epochs.version
  return true
}

/** The newest whole response that matches the request (RFC 9111 §4.1). */
export function selectWhole(
  core: CacheCore,
  variants: StoredVariants,
  headers: HeaderList,
  policy: CachePolicy,
): StoredResponse | undefined {
  const { responses } = variants
  let vary: readonly string[] | undefined
  let signature = ''
  for (let i = 0; i < responses.length; i++) {
    const stored = responses[i] as StoredResponse
    if (stored.range !== undefined) continue
    if (stored.vary.length > 0) {
      if (stored.vary !== vary) {
        vary = stored.vary
        signature = selectingSignature(headers, vary, policy.vary)
      }
      if (signature !== stored.signature) continue
    }
    if (isLive(core, stored)) return stored
    core.memory.remove(stored.key, stored)
  }
  return vary === undefined ? undefined : selectLanguage(core, responses, headers)
}

function selectLanguage(
  core: CacheCore,
  responses: readonly StoredResponse[],
  headers: HeaderList,
): StoredResponse | undefined {
  const wanted = headers.joined('accept-language')
  if (wanted === undefined) return undefined
  return responses.find(
    (stored) =>
      stored.language !== undefined &&
      stored.range === undefined &&
      prefersLanguage(wanted, stored.language) &&
      isLive(core, stored),
  )
}

/** Stored parts that match the request. */
export function selectPartial(
  core: CacheCore,
  variants: StoredVariants,
  headers: HeaderList,
  policy: CachePolicy,
): StoredResponse[] {
  return variants.responses.filter(
    (stored) =>
      stored.range !== undefined &&
      (stored.vary.length === 0 ||
        selectingSignature(headers, stored.vary, policy.vary) === stored.signature) &&
      isLive(core, stored),
  )
}

export type Use = 'fresh' | 'max-stale' | 'while-revalidate' | 'validate'

/** Whether it is as young, and fresh for as long, as the client wants (RFC 9111 §5.2.1.1, §5.2.1.3). */
export function isYoungEnough(
  stored: StoredResponse,
  now: Millis,
  { maxAge, minFresh }: CacheControl,
): boolean {
  if (maxAge >= 0 && stored.age(now) > maxAge) return false
  return minFresh < 0 || -stored.staleness(now) >= minFresh * 1000
}

/** How a stored response may be used now. */
export function useOf(
  stored: StoredResponse,
  now: Millis,
  directives: CacheControl,
  policy: CachePolicy,
): Use {
  if (directives.noCache || stored.control.noCache) return 'validate'
  const staleness = stored.staleness(now)
  if (!isYoungEnough(stored, now, directives)) return 'validate'
  if (now < stored.freshUntil && !stored.isSoftPurged) return 'fresh'
  if (directives.maxStale >= 0 && !stored.isSoftPurged && stored.mayBeStale) {
    if (staleness <= directives.maxStale * 1000) return 'max-stale'
  }
  const window = stored.staleWhileRevalidate(policy.stale.whileRevalidate)
  if (window > 0 && staleness <= window) return 'while-revalidate'
  return 'validate'
}

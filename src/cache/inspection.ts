/** What is stored, for people: the answers of `meridian cache`, and how much a purge would take. */
import type { Millis } from '../exchange.ts'
import type { CacheCore } from './core.ts'
import type { StoredResponse } from './policy/stored-response.ts'

export interface EntryReport {
  readonly tier: string
  readonly url: string
  /** What the key holds besides the URL, by name only: values may be cookies. */
  readonly keyedBy: readonly string[]
  readonly status: number
  readonly state: 'fresh' | 'stale' | 'soft-purged' | 'purged'
  /** Seconds. */
  readonly age: number
  /** Seconds of freshness left; negative when stale. */
  readonly ttl: number
  readonly bodyBytes: number
  /** What it takes of the tier. */
  readonly storedBytes: number
  readonly vary: readonly string[]
  readonly etag: string | null
  readonly lastModified: string | null
  readonly contentType: string | null
  readonly contentEncoding: string | null
  /** Bytes of the codings that were made of it and are kept, by name and level. */
  readonly codings: Readonly<Record<string, number>>
  readonly tags: readonly string[]
  /** Milliseconds since the epoch. */
  readonly receivedAt: Millis
  /** Positions of a stored part; null for the whole. */
  readonly range: { readonly first: number; readonly last: number; readonly total: number } | null
}

/** Stored responses in memory that answer to one of the names. Goes through all of them. */
export function matching(core: CacheCore, names: readonly string[]): number {
  const wanted = new Set(names)
  let count = 0
  for (const response of core.memory.responses()) {
    if (core.epochs.verdict(response.epochNames, response.stamp) === 'hard') continue
    if (response.epochNames.some((name) => wanted.has(name))) count++
  }
  return count
}

/**
 * All that is stored for one of the URLs.
 * @param keys keys to ask slower tiers for, which cannot be searched by URL
 */
export async function entriesOf(
  core: CacheCore,
  urls: readonly string[],
  keys: readonly string[],
): Promise<EntryReport[]> {
  const wanted = new Set(urls)
  const found: EntryReport[] = []
  for (const response of core.memory.responses()) {
    if (wanted.has(response.url)) found.push(reportOf(core, 'memory', response))
  }
  const { lower } = core
  for (const tier of lower?.tiers ?? (lower === undefined ? [] : [lower])) {
    for (const key of keys) {
      for (const response of (await tier.lookup(key))?.responses ?? []) {
        found.push(reportOf(core, tier.name, response))
      }
    }
  }
  return found
}

function reportOf(core: CacheCore, tier: string, stored: StoredResponse): EntryReport {
  const now = core.clock.monotonic()
  const verdict = core.epochs.verdict(stored.epochNames, stored.stamp)
  const isFresh = now < stored.freshUntil
  const field = (name: string): string | null => {
    for (let i = 0; i < stored.fields.length; i += 2) {
      if ((stored.fields[i] as string).toLowerCase() === name) return stored.fields[i + 1] ?? null
    }
    return null
  }
  return {
    tier,
    url: stored.url,
    keyedBy: stored.key.split('\n').slice(1).map(partName),
    status: stored.status,
    state:
      verdict === 'hard'
        ? 'purged'
        : verdict === 'soft'
          ? 'soft-purged'
          : isFresh
            ? 'fresh'
            : 'stale',
    age: stored.age(now),
    ttl: Math.floor(-stored.staleness(now) / 1000),
    bodyBytes: stored.bodyLength,
    storedBytes: stored.size,
    vary: stored.vary,
    etag: stored.etag ?? null,
    lastModified: stored.lastModified ?? null,
    contentType: field('content-type'),
    contentEncoding: field('content-encoding'),
    codings: stored.codings?.sizes() ?? {},
    tags: stored.epochNames.filter((name) => name.startsWith('tag:')).map((name) => name.slice(4)),
    receivedAt: stored.receivedWall,
    range: stored.range ?? null,
  }
}

/** `name=value`, `;cookie=value`, `@country`: the name. */
function partName(part: string): string {
  if (part.startsWith('@')) return 'country'
  const equals = part.indexOf('=')
  const name = equals < 0 ? part.replace(/-$/, '') : part.slice(0, equals)
  return name.startsWith(';') ? `cookie ${name.slice(1)}` : name
}

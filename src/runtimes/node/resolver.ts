/**
 * Names of origins, resolved by ourselves. Node resolves a name when a connection is made and never again:
 * a kept-alive connection outlives its address. Here every name is asked for again when its time to live is
 * over, the last good answer is kept while the resolver fails, and whoever holds connections is told when
 * an address has gone.
 */
import dns from 'node:dns'
import type { LookupFunction } from 'node:net'
import net from 'node:net'
import type { ResolverConfig } from '../../config/sections/resolver.ts'
import type { Clock, LifetimeLimits, NameSource, Random, ResolvedAddress } from '../../ports.ts'
import { serviceHost } from '../../upstream/endpoints.ts'

export type { ResolvedAddress } from '../../ports.ts'

/** What is asked of the system; tests bring their own. */
export interface NameService {
  /** As programs on this machine see it: hosts file, search domains, DNS. @throws when there is no answer */
  lookup(name: string): Promise<readonly ResolvedAddress[]>
  /** Times to live of the name's addresses in DNS, seconds; empty when DNS does not know it. */
  lifetimes(name: string): Promise<readonly number[]>
}

export const systemNames: NameService = {
  lookup: (name) =>
    serviceHost(name) === undefined
      ? systemAddresses(name)
      : serviceAddresses(dns.promises, name, systemAddresses),
  lifetimes: async (name) => {
    if (serviceHost(name) !== undefined) return []
    const answers = await Promise.allSettled([
      dns.promises.resolve4(name, { ttl: true }),
      dns.promises.resolve6(name, { ttl: true }),
    ])
    return answers.flatMap((each) =>
      each.status === 'fulfilled' ? each.value.map(({ ttl }) => ttl) : [],
    )
  },
}

async function systemAddresses(name: string): Promise<ResolvedAddress[]> {
  const found = await dns.promises.lookup(name, { all: true })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

/**
 * Where a service is (RFC 2782): the addresses of the servers that are to be used first, with their ports.
 * @throws when one of them does not resolve: a part of the answer would look as if servers had gone
 */
async function serviceAddresses<A extends ResolvedAddress>(
  resolver: Pick<dns.promises.Resolver, 'resolveSrv'>,
  name: string,
  addressesOf: (target: string) => Promise<readonly A[]>,
): Promise<A[]> {
  const records = await resolver.resolveSrv(name)
  const first = Math.min(...records.map(({ priority }) => priority))
  const found = await Promise.all(
    records
      .filter(({ priority }) => priority === first)
      .map(async ({ name: target, port, weight }) =>
        (await addressesOf(target)).map((each) => ({ ...each, port, weight })),
      ),
  )
  return found.flat()
}

/** The answer is there, and it is that there are no addresses of this family. */
const NO_ADDRESS: ReadonlySet<string> = new Set([dns.NODATA, dns.NOTFOUND])

/** DNS servers that a config names, asked without the system's own ways. */
export function serverNames(servers: readonly string[], timeoutMs: number): NameService {
  const resolver = new dns.promises.Resolver({ timeout: timeoutMs, tries: 2 })
  resolver.setServers([...servers])
  const underWay = new Map<string, Promise<(ResolvedAddress & { readonly ttl: number })[]>>()
  const ask = (name: string) => {
    let asked = underWay.get(name)
    if (asked === undefined) {
      const families = (target: string) => bothFamilies(resolver, target)
      const isService = serviceHost(name) !== undefined
      asked = (isService ? serviceAddresses(resolver, name, families) : families(name)).finally(
        () => underWay.delete(name),
      )
      underWay.set(name, asked)
    }
    return asked
  }
  return {
    lookup: async (name) => (await ask(name)).map(({ ttl: _ttl, ...each }) => each),
    lifetimes: async (name) => (await ask(name)).map(({ ttl }) => ttl),
  }
}

/** @throws when one family's answer is missing: half an answer would look as if addresses had gone */
async function bothFamilies(resolver: dns.promises.Resolver, name: string) {
  const answers = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ])
  const families = [4, 6] as const
  const found = answers.flatMap((answer, i) => {
    const family = families[i] as 4 | 6
    if (answer.status === 'fulfilled') return answer.value.map((each) => ({ ...each, family }))
    const { code } = answer.reason as NodeJS.ErrnoException
    if (code !== undefined && NO_ADDRESS.has(code)) return []
    throw answer.reason
  })
  if (found.length > 0) return found
  throw Object.assign(new Error(`${name} has no address`), { code: dns.NOTFOUND })
}

export function nameService({ servers, timeout }: ResolverConfig): NameService {
  return servers === undefined ? systemNames : serverNames(servers, timeout)
}

/** No name is believed for longer, whatever its time to live; also for what is not in DNS. */
const MOST_LIFETIME_MS = 30_000
/** No name is asked for more often. */
const LEAST_LIFETIME_MS = 1000
/** After a failure; sooner where the limits of the name say so. */
const RETRY_MS = 2000

interface Watcher {
  readonly limits: LifetimeLimits
  readonly onChange: () => void
}

interface Entry {
  addresses: readonly ResolvedAddress[]
  /** Changes when the set of addresses does. */
  version: number
  /** The first answer, or its failure. */
  first: Promise<void>
  cancel: (() => void) | undefined
  error: NodeJS.ErrnoException | undefined
  turn: number
  readonly watchers: Set<Watcher>
}

export interface ResolverObserver {
  /** A name that was known has other addresses. */
  changed?(name: string, addresses: readonly string[]): void
  /** After each question. */
  resolved?(result: 'answered' | 'failed'): void
  /** The first failure after an answer, or the first of all. */
  failed?(name: string, error: Error): void
}

export class Resolver implements NameSource {
  #names: NameService
  readonly #clock: Clock
  readonly #random: Random
  readonly #entries = new Map<string, Entry>()
  readonly #observer: ResolverObserver

  constructor(
    clock: Clock,
    random: Random,
    names: NameService = systemNames,
    observer: ResolverObserver = {},
  ) {
    this.#clock = clock
    this.#random = random
    this.#names = names
    this.#observer = observer
  }

  /** Asks somebody else from now on. */
  use(names: NameService): void {
    this.#names = names
  }

  addresses(name: string): readonly ResolvedAddress[] | undefined {
    const known = this.#entries.get(name)?.addresses
    return known === undefined || known.length === 0 ? undefined : known
  }

  watch(name: string, limits: LifetimeLimits, onChange: () => void): () => void {
    const watcher = { limits, onChange }
    const entry = this.#watch(name)
    entry.watchers.add(watcher)
    return () => entry.watchers.delete(watcher)
  }

  /**
   * Changes whenever the name's addresses do; begins to watch the name.
   * @returns 0 for an address, which stays what it is
   */
  version(name: string): number {
    return net.isIP(name) === 0 ? this.#watch(name).version : 0
  }

  /** For sockets: all addresses, first another one each time, so that connections spread over them. */
  readonly lookup: LookupFunction = (name, options, callback) => {
    const entry = this.#watch(name)
    void entry.first.then(() => {
      const all = entry.addresses.filter(
        ({ family }) => !options.family || options.family === family,
      )
      if (all.length === 0) {
        const error: NodeJS.ErrnoException = entry.error ?? new Error(`${name} has no address`)
        error.code ??= 'ENOTFOUND'
        callback(error, [])
        return
      }
      const turn = entry.turn++ % all.length
      answer([...all.slice(turn), ...all.slice(0, turn)], options, callback)
    })
  }

  /** Forgets all other names but those that are watched. */
  retain(names: ReadonlySet<string>): void {
    for (const [name, entry] of this.#entries) {
      if (!names.has(name) && entry.watchers.size === 0) this.#forget(name, entry)
    }
  }

  close(): void {
    for (const [name, entry] of this.#entries) this.#forget(name, entry)
  }

  #forget(name: string, entry: Entry): void {
    entry.cancel?.()
    this.#entries.delete(name)
  }

  #watch(name: string): Entry {
    const known = this.#entries.get(name)
    if (known !== undefined) return known
    const entry: Entry = {
      addresses: [],
      version: 0,
      first: Promise.resolve(),
      cancel: undefined,
      error: undefined,
      turn: 0,
      watchers: new Set(),
    }
    this.#entries.set(name, entry)
    entry.first = this.#refresh(name, entry)
    return entry
  }

  async #refresh(name: string, entry: Entry): Promise<void> {
    const [found, lifetimes] = await Promise.allSettled([
      this.#names.lookup(name),
      this.#names.lifetimes(name),
    ])
    if (this.#entries.get(name) !== entry) return
    const limits = limitsOf(entry)
    let next = Math.min(RETRY_MS, limits.mostMs)
    if (found.status === 'fulfilled' && found.value.length > 0) {
      this.#observer.resolved?.('answered')
      entry.error = undefined
      const seconds = lifetimes.status === 'fulfilled' ? Math.min(...lifetimes.value) : Infinity
      next = Math.max(limits.leastMs, Math.min(limits.mostMs, seconds * 1000))
      if (keyOf(found.value) !== keyOf(entry.addresses)) this.#changed(name, entry, found.value)
    } else {
      // What it was last is better than nothing: most failures are the resolver's own.
      this.#observer.resolved?.('failed')
      const reason: unknown =
        found.status === 'rejected' ? found.reason : new Error(`${name} has no address`)
      const error = reason instanceof Error ? reason : new Error(String(reason))
      if (entry.error === undefined) this.#observer.failed?.(name, error)
      entry.error = error
    }
    // A name that never had an answer and that nobody watches is asked for anew by the next connection.
    if (entry.addresses.length === 0 && entry.watchers.size === 0) {
      this.#entries.delete(name)
      return
    }
    // A little early, so that gateways started together drift apart and none is late.
    entry.cancel = this.#clock.after(next * (1 - 0.1 * this.#random.next()), () => {
      const refreshed = this.#refresh(name, entry)
      // Connections wait for it only while there is no address at all.
      if (entry.addresses.length === 0) entry.first = refreshed
    })
  }

  #changed(name: string, entry: Entry, addresses: readonly ResolvedAddress[]): void {
    const isFirst = entry.addresses.length === 0
    entry.addresses = addresses
    entry.version++
    if (!isFirst) {
      this.#observer.changed?.(
        name,
        addresses.map(({ address }) => address),
      )
    }
    for (const { onChange } of entry.watchers) onChange()
  }
}

/** The narrowest of those who watch the name. */
function limitsOf({ watchers }: Entry): LifetimeLimits {
  if (watchers.size === 0) return { leastMs: LEAST_LIFETIME_MS, mostMs: MOST_LIFETIME_MS }
  let leastMs = Number.POSITIVE_INFINITY
  let mostMs = Number.POSITIVE_INFINITY
  for (const { limits } of watchers) {
    leastMs = Math.min(leastMs, limits.leastMs)
    mostMs = Math.min(mostMs, limits.mostMs)
  }
  return { leastMs, mostMs }
}

/** For sockets that go to these addresses and no others. */
export function fixedLookup(addresses: readonly ResolvedAddress[]): LookupFunction {
  return (name, options, callback) => {
    const all = addresses.filter(({ family }) => !options.family || options.family === family)
    if (all.length > 0) answer(all, options, callback)
    else {
      const error = new Error(`${name} has no address that may be used`)
      callback(Object.assign(error, { code: 'ENOTFOUND' }), [])
    }
  }
}

function answer(
  all: readonly ResolvedAddress[],
  options: Parameters<LookupFunction>[1],
  callback: Parameters<LookupFunction>[2],
): void {
  const [first] = all
  if (options.all === true) callback(null, interleaved(all))
  else callback(null, first?.address ?? '', first?.family)
}

function keyOf(addresses: readonly ResolvedAddress[]): string {
  return addresses
    .map(({ address, port, weight }) => `${address} ${port ?? ''} ${weight ?? ''}`)
    .sort()
    .join(',')
}

/** Families in turn (RFC 8305 §4), the first one's first: Node tries them one after the other, each shortly. */
function interleaved(addresses: readonly ResolvedAddress[]): ResolvedAddress[] {
  const first = addresses[0]?.family
  const own = addresses.filter(({ family }) => family === first)
  const others = addresses.filter(({ family }) => family !== first)
  const all: ResolvedAddress[] = []
  for (let i = 0; i < Math.max(own.length, others.length); i++) {
    const [a, b] = [own[i], others[i]]
    if (a !== undefined) all.push(a)
    if (b !== undefined) all.push(b)
  }
  return all
}

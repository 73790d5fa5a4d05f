/**
 * Names of origins, resolved by ourselves. Node resolves a name when a connection is made and never again:
 * a kept-alive connection outlives its address. Here every name is asked for again when its time to live is
 * over, the last good answer is kept while the resolver fails, and whoever holds connections is told when
 * an address has gone.
 */
import dns from 'node:dns'
import type { LookupFunction } from 'node:net'
import net from 'node:net'
import type { Clock, Random } from '../../ports.ts'

export interface ResolvedAddress {
  readonly address: string
  readonly family: 4 | 6
}

/** What is asked of the system; tests bring their own. */
export interface NameService {
  /** As programs on this machine see it: hosts file, search domains, DNS. @throws when there is no answer */
  lookup(name: string): Promise<readonly ResolvedAddress[]>
  /** Times to live of the name's addresses in DNS, seconds; empty when DNS does not know it. */
  lifetimes(name: string): Promise<readonly number[]>
}

export const systemNames: NameService = {
  lookup: async (name) => {
    const found = await dns.promises.lookup(name, { all: true })
    return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
  },
  lifetimes: async (name) => {
    const answers = await Promise.allSettled([
      dns.promises.resolve4(name, { ttl: true }),
      dns.promises.resolve6(name, { ttl: true }),
    ])
    return answers.flatMap((each) =>
      each.status === 'fulfilled' ? each.value.map(({ ttl }) => ttl) : [],
    )
  },
}

/** No name is believed for longer, whatever its time to live; also for what is not in DNS. */
const MOST_LIFETIME_MS = 30_000
/** No name is asked for more often. */
const LEAST_LIFETIME_MS = 1000
/** After a failure. */
const RETRY_MS = 2000

interface Entry {
  addresses: readonly ResolvedAddress[]
  /** Changes when the set of addresses does. */
  version: number
  /** The first answer, or its failure. */
  first: Promise<void>
  cancel: (() => void) | undefined
  error: NodeJS.ErrnoException | undefined
  turn: number
}

export class Resolver {
  readonly #names: NameService
  readonly #clock: Clock
  readonly #random: Random
  readonly #entries = new Map<string, Entry>()
  readonly #onChange: ((name: string, addresses: readonly string[]) => void) | undefined

  constructor(
    clock: Clock,
    random: Random,
    names: NameService = systemNames,
    onChange?: (name: string, addresses: readonly string[]) => void,
  ) {
    this.#clock = clock
    this.#random = random
    this.#names = names
    this.#onChange = onChange
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
      const rotated = [...all.slice(turn), ...all.slice(0, turn)]
      const [first] = rotated
      if (options.all === true) callback(null, interleaved(rotated))
      else callback(null, first?.address ?? '', first?.family)
    })
  }

  /** Forgets all other names. */
  retain(names: ReadonlySet<string>): void {
    for (const [name, entry] of this.#entries) {
      if (names.has(name)) continue
      entry.cancel?.()
      this.#entries.delete(name)
    }
  }

  close(): void {
    this.retain(new Set())
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
    let next = RETRY_MS
    if (found.status === 'fulfilled' && found.value.length > 0) {
      entry.error = undefined
      const seconds = lifetimes.status === 'fulfilled' ? Math.min(...lifetimes.value) : Infinity
      next = Math.max(LEAST_LIFETIME_MS, Math.min(MOST_LIFETIME_MS, seconds * 1000))
      if (keyOf(found.value) !== keyOf(entry.addresses)) {
        const isFirst = entry.addresses.length === 0
        entry.addresses = found.value
        entry.version++
        if (!isFirst)
          this.#onChange?.(
            name,
            found.value.map(({ address }) => address),
          )
      }
    } else if (found.status === 'rejected') {
      // What it was last is better than nothing: most failures are the resolver's own.
      entry.error = found.reason instanceof Error ? found.reason : new Error(String(found.reason))
    }
    // A name that never had an answer is asked for anew by the next connection.
    if (entry.addresses.length === 0) {
      this.#entries.delete(name)
      return
    }
    // A little early, so that gateways started together drift apart and none is late.
    entry.cancel = this.#clock.after(next * (1 - 0.1 * this.#random.next()), () => {
      void this.#refresh(name, entry)
    })
  }
}

function keyOf(addresses: readonly ResolvedAddress[]): string {
  return addresses
    .map(({ address }) => address)
    .sort()
    .join(' ')
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

/**
 * What an origin's name stands for in balancing: several addresses are several servers, each with its own
 * load, health and connections. One server that has an address of either family stays one (RFC 8305: both are
 * tried when a connection is made).
 */
import type { ResolvedAddress } from '../ports.ts'

export interface EndpointRules {
  /** Whether addresses count as servers of their own. */
  readonly perAddress: boolean
  /** `auto`: the family that the resolver puts first, where there are several addresses of a family. */
  readonly family: 'auto' | 'any' | 'ipv4' | 'ipv6'
}

export interface Endpoint {
  /** The origin's own id, or with `@` and the address. */
  readonly id: string
  /** The addresses that it stands for, as far as they are known. */
  readonly stands: readonly string[]
  /** Connections go to these alone; undefined: to whatever the name resolves to then. */
  readonly addresses: readonly ResolvedAddress[] | undefined
  /** Instead of the URL's: of a service record. */
  readonly port?: number | undefined
  /** Of the origin's weight, 0 to 1. */
  readonly share: number
}

/** Addresses beyond this are left out: no name of a sensible pool has as many. */
export const MOST_ADDRESSES = 64

/**
 * The host that a service name such as `_http._tcp.app.internal` belongs to: what TLS and Host go by.
 * Undefined for other names.
 */
export function serviceHost(name: string): string | undefined {
  return /^_[a-z0-9-]+\._tcp\.(.+)$/i.exec(name)?.[1]
}

/** The servers that service records name, each with its port and its part of the weight. */
export function serviceEndpoints(
  id: string,
  found: readonly ResolvedAddress[] | undefined,
  { family }: EndpointRules,
): Endpoint[] {
  const lawful = (found ?? []).filter(
    (each) => family === 'auto' || family === 'any' || each.family === (family === 'ipv4' ? 4 : 6),
  )
  const byPlace = new Map<string, ResolvedAddress>()
  for (const each of family === 'auto' ? preferredFamily(lawful) : lawful) {
    byPlace.set(placeOf(each), each)
  }
  if (byPlace.size === 0) return [{ id, stands: [], addresses: [], share: 1 }]
  const heaviest = Math.max(1, ...lawful.map(({ weight }) => weight ?? 0))
  const isOne = byPlace.size === 1
  return [...byPlace.keys()]
    .sort()
    .slice(0, MOST_ADDRESSES)
    .map((place): Endpoint => {
      const each = byPlace.get(place) as ResolvedAddress
      const areAlike = lawful.every(({ weight }) => weight === each.weight)
      return {
        id: isOne ? id : `${id}@${place}`,
        stands: [place],
        addresses: [{ address: each.address, family: each.family }],
        port: each.port,
        share: areAlike ? 1 : (each.weight ?? 0) / heaviest,
      }
    })
}

function placeOf({ address, family, port }: ResolvedAddress): string {
  return family === 6 ? `[${address}]:${port ?? ''}` : `${address}:${port ?? ''}`
}

/**
 * The servers behind an origin's name.
 * @param found in the resolver's order; undefined while nothing is known
 */
export function endpointsOf(
  id: string,
  found: readonly ResolvedAddress[] | undefined,
  { perAddress, family }: EndpointRules,
): Endpoint[] {
  if (found === undefined) return [{ id, stands: [], addresses: undefined, share: 1 }]
  const isFixed = family === 'ipv4' || family === 'ipv6'
  const lawful = isFixed
    ? found.filter((each) => each.family === (family === 'ipv4' ? 4 : 6))
    : found
  const counted = family === 'auto' ? preferred(lawful) : distinct(lawful)
  if (!perAddress || counted.length < 2) {
    const stands = lawful.map(({ address }) => address).sort()
    return [{ id, stands, addresses: isFixed ? distinct(lawful) : undefined, share: 1 }]
  }
  return counted.slice(0, MOST_ADDRESSES).map(
    (each): Endpoint => ({
      id: `${id}@${each.address}`,
      stands: [each.address],
      addresses: [each],
      share: 1,
    }),
  )
}

/**
 * Addresses of the family that comes first (the system's order, RFC 6724, has those first that this machine can
 * reach); both families of the same servers would give these a double share.
 */
function preferred(found: readonly ResolvedAddress[]): ResolvedAddress[] {
  return distinct(preferredFamily(found))
}

function preferredFamily(found: readonly ResolvedAddress[]): ResolvedAddress[] {
  const first = found[0]?.family
  return found.filter(({ family }) => family === first)
}

/** Once each, in an order that does not change with the resolver's. */
function distinct(found: readonly ResolvedAddress[]): ResolvedAddress[] {
  const byAddress = new Map(found.map((each) => [each.address, each]))
  return [...byAddress.values()].sort((a, b) => (a.address < b.address ? -1 : 1))
}

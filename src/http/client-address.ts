/**
 * Who the client is: the direct peer, or, when the peer is a trusted proxy, the right-most address in its
 * forwarding chain that is not itself trusted. Reading the chain from the left would let any client pick
 * its own address.
 */
import type { HeaderList, IpAddress } from '../exchange.ts'
import type { CidrSet } from './cidr.ts'
import { parseIp } from './ip.ts'

export interface ClientAddress {
  readonly ip: IpAddress | undefined
  readonly viaTrustedProxy: boolean
}

/**
 * @param peer     address of the connection, after a PROXY protocol header
 * @param trusted  `trustedProxies`
 */
export function clientAddress(
  peer: IpAddress | undefined,
  headers: HeaderList,
  trusted: CidrSet,
): ClientAddress {
  if (!trusted.contains(peer)) return { ip: peer, viaTrustedProxy: false }
  const chain = forwardedChain(headers)
  let nearest = peer
  for (let i = chain.length - 1; i >= 0; i--) {
    const ip = parseHop(chain[i] as string)
    // An unreadable hop ends the walk: what is to the left of it cannot be vouched for.
    if (ip === undefined) break
    nearest = ip
    if (!trusted.contains(ip)) break
  }
  return { ip: nearest, viaTrustedProxy: true }
}

/** Hops from left (farthest) to right (nearest): X-Forwarded-For, or Forwarded (RFC 7239) without it. */
function forwardedChain(headers: HeaderList): string[] {
  const forwardedFor = headers.joined('x-forwarded-for')
  if (forwardedFor !== undefined) return forwardedFor.split(',').map((hop) => hop.trim())
  const forwarded = headers.joined('forwarded')
  if (forwarded === undefined) return []
  return forwarded.split(',').map((element) => {
    for (const pair of element.split(';')) {
      const equals = pair.indexOf('=')
      if (pair.slice(0, equals).trim().toLowerCase() === 'for') {
        return pair
          .slice(equals + 1)
          .trim()
          .replaceAll('"', '')
      }
    }
    return ''
  })
}

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`. */
function parseHop(hop: string): IpAddress | undefined {
  const direct = parseIp(hop)
  if (direct !== undefined) return direct
  if (hop.startsWith('[')) {
    const close = hop.indexOf(']')
    return close < 0 ? undefined : parseIp(hop.slice(1, close))
  }
  const colon = hop.lastIndexOf(':')
  return colon > 0 ? parseIp(hop.slice(0, colon)) : undefined
}

/** Scheme that a trusted proxy says the client used, or undefined. */
export function forwardedScheme(headers: HeaderList): 'http' | 'https' | undefined {
  const value = headers.get('x-forwarded-proto')?.toLowerCase()
  return value === 'http' || value === 'https' ? value : undefined
}

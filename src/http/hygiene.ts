/**
 * Which fields may cross the gateway. Hop-by-hop fields and what `Connection` names stop here
 * (RFC 9110 §7.6.1), except the fields that the gateway itself relies on, which a client must not be able
 * to strip by naming them. Fields that other software reads as a route, an identity or a proxy setting
 * are dropped unless a trusted proxy sent them.
 */
import type { HeaderList } from '../exchange.ts'

const KEEP = 0
const HOP_BY_HOP = 1
/** Set again by the gateway from what it knows. */
const OWNED = 2
/** Forwarding fields: only from trusted proxies. */
const FORWARDING = 3
/** Never forwarded. */
const DANGEROUS = 4
/** Set again by whoever takes part in the trace; else as forwarding fields. */
const TRACE = 5

const REQUEST_KINDS: ReadonlyMap<string, number> = new Map([
  ['connection', HOP_BY_HOP],
  ['keep-alive', HOP_BY_HOP],
  ['proxy-connection', HOP_BY_HOP],
  ['proxy-authorization', HOP_BY_HOP],
  ['proxy-authenticate', HOP_BY_HOP],
  ['te', HOP_BY_HOP],
  ['trailer', HOP_BY_HOP],
  ['transfer-encoding', HOP_BY_HOP],
  ['upgrade', HOP_BY_HOP],
  ['http2-settings', HOP_BY_HOP],
  ['expect', HOP_BY_HOP],
  ['host', OWNED],
  ['content-length', OWNED],
  ['x-request-id', OWNED],
  ['x-meridian-residency', OWNED],
  ['traceparent', TRACE],
  ['tracestate', TRACE],
  ['forwarded', FORWARDING],
  ['x-forwarded-for', FORWARDING],
  ['x-forwarded-host', FORWARDING],
  ['x-forwarded-proto', FORWARDING],
  ['x-forwarded-port', FORWARDING],
  ['x-forwarded-server', FORWARDING],
  ['x-forwarded-scheme', FORWARDING],
  ['x-forwarded-prefix', FORWARDING],
  ['x-forwarded-uri', FORWARDING],
  ['x-forwarded-ssl', FORWARDING],
  ['x-real-ip', FORWARDING],
  ['x-client-ip', FORWARDING],
  ['x-cluster-client-ip', FORWARDING],
  ['true-client-ip', FORWARDING],
  ['cf-connecting-ip', FORWARDING],
  ['fastly-client-ip', FORWARDING],
  ['proxy', DANGEROUS],
  ['x-original-url', DANGEROUS],
  ['x-rewrite-url', DANGEROUS],
  // A credential of the gateway's own (`telemetry.debugHeaders`).
  ['meridian-debug', DANGEROUS],
])

/** Fields that `Connection` cannot strip: the gateway or the origin's security depends on them. */
const UNSTRIPPABLE: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'content-type',
  'content-encoding',
  'authorization',
  'cookie',
  'origin',
  'forwarded',
  'via',
  'cdn-loop',
  'x-request-id',
  'cache-control',
])

/** Lower-case names listed in Connection, or null when it lists nothing to strip. */
function connectionTokens(headers: HeaderList): string[] | null {
  const value = headers.joined('connection')
  if (value === undefined) return null
  const lower = value.toLowerCase()
  if (lower === 'keep-alive' || lower === 'close') return null
  const tokens = lower.split(',').map((token) => token.trim())
  return tokens.filter((token) => !UNSTRIPPABLE.has(token) && !token.startsWith('x-forwarded-'))
}

export interface ForwardingIdentity {
  /** The peer's address: what the next hop should add to its chain. */
  readonly peer: string | undefined
  readonly viaTrustedProxy: boolean
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly requestId: string
  /** What the gateway calls itself in Via and CDN-Loop (RFC 8586). */
  readonly pseudonym: string
  /** What is said in CDN-Loop instead, with a parameter. */
  readonly loopEntry?: string | undefined
  readonly receivedVersion: '1.0' | '1.1' | '2'
  /** Residency rules that bind the request, for gateways behind this one; empty for none. */
  readonly residency?: string | undefined
  /** Whether the gateway has a span of its own in the trace. */
  readonly isTraced: boolean
}

/**
 * Fields for the origin, in wire order, with ours at the end. `Content-Length` is left to the caller, who
 * knows the body that is really sent.
 * @param host  Host for the origin: the client's authority unless the pool overrides it
 */
export function requestFields(
  headers: HeaderList,
  who: ForwardingIdentity,
  host: string,
): string[] {
  const names = headers.names()
  const flat = headers.flat
  const listed = connectionTokens(headers)
  const out: string[] = ['host', host]
  let chain: string | undefined
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    const kind = REQUEST_KINDS.get(name) ?? KEEP
    if (kind !== KEEP) {
      if (kind === TRACE ? who.isTraced : kind !== FORWARDING) continue
      if (!who.viaTrustedProxy) continue
      if (name === 'x-forwarded-for') {
        const value = flat[i * 2 + 1] as string
        chain = chain === undefined ? value : `${chain}, ${value}`
        continue
      }
    } else if (name.includes('_') || listed?.includes(name) === true) {
      // Underscores: some origins read `transfer_encoding` and `x_forwarded_for` as the dashed field.
      continue
    }
    out.push(flat[i * 2] as string, flat[i * 2 + 1] as string)
  }
  if (who.peer !== undefined) {
    out.push('x-forwarded-for', chain === undefined ? who.peer : `${chain}, ${who.peer}`)
  }
  if (!who.viaTrustedProxy || !headers.has('x-forwarded-proto'))
    out.push('x-forwarded-proto', who.scheme)
  if (!who.viaTrustedProxy || !headers.has('x-forwarded-host'))
    out.push('x-forwarded-host', who.authority)
  out.push('x-request-id', who.requestId)
  if (who.residency) out.push('x-meridian-residency', who.residency)
  out.push(
    'via',
    who.receivedVersion === '2'
      ? `2.0 ${who.pseudonym}`
      : `${who.receivedVersion} ${who.pseudonym}`,
  )
  out.push('cdn-loop', who.loopEntry ?? who.pseudonym)
  return out
}

const RESPONSE_HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** Fields for the client, from an origin's: a new flat list without what belongs to the origin's connection. */
export function responseFields(flat: readonly string[]): string[] {
  const out: string[] = []
  let listed: string[] | null = null
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase()
    if (RESPONSE_HOP_BY_HOP.has(name)) {
      if (name === 'connection') {
        const tokens = (flat[i + 1] as string).toLowerCase()
        if (tokens !== 'keep-alive' && tokens !== 'close') {
          listed = [...(listed ?? []), ...tokens.split(',').map((token) => token.trim())]
        }
      }
      continue
    }
    out.push(name, flat[i + 1] as string)
  }
  if (listed === null) return out
  const kept: string[] = []
  for (let i = 0; i < out.length; i += 2) {
    const name = out[i] as string
    const isListed = listed.includes(name) && name !== 'content-length' && name !== 'cache-control'
    if (!isListed) kept.push(name, out[i + 1] as string)
  }
  return kept
}

/** Entry in CDN-Loop of a gateway that asks another one as its shield. @param mark of the asking process */
export function shieldEntry(pseudonym: string, mark: string): string {
  return `${pseudonym};shield=${mark}`
}

/**
 * What the request's CDN-Loop (RFC 8586 §2) says of gateways of this name: none was there, one asks this one
 * as its shield, or the request goes round. So does one that this process has sent, or whose chain is
 * implausibly long.
 * @param mark of this process
 */
export function loopOf(
  headers: HeaderList,
  pseudonym: string,
  mark: string,
): 'none' | 'shielded' | 'loop' {
  const value = headers.joined('cdn-loop')
  if (value === undefined) return 'none'
  const entries = value.toLowerCase().split(',')
  if (entries.length > 20) return 'loop'
  const own = entries
    .map((entry) => entry.split(';').map((part) => part.trim()))
    .filter(([name]) => name === pseudonym.toLowerCase())
  const [first, second] = own
  if (first === undefined) return 'none'
  const asking = first[1]?.startsWith('shield=') === true ? first[1].slice(7) : undefined
  return second === undefined && asking !== undefined && asking !== mark ? 'shielded' : 'loop'
}

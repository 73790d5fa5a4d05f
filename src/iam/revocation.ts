/**
 * What has been revoked before its time: single tokens, everything of a subject, session or client, or of a
 * whole issuer, each for as long as the tokens concerned could still live.
 */
import type { Seconds } from '../exchange.ts'
import type { JsonObject } from './strict-json.ts'

export type RevocationKind = 'jti' | 'sub' | 'sid' | 'client' | 'token' | 'issuer'

export interface Revocation {
  readonly kind: RevocationKind
  /** The claim's value; for `token` the SHA-256 of the whole token in hex; for `issuer` its URL. */
  readonly value: string
  /** Only what this issuer issued. */
  readonly issuer?: string | undefined
  /** Only tokens issued before this time; those without `iat` too. Left out: all. */
  readonly before?: Seconds | undefined
  /** When the entry may be forgotten. */
  readonly expiresAt: Seconds
}

/** How the list sees one token. Remembers the list's version that it passed, so that a hit is one comparison. */
export interface RevocationMark {
  readonly issuer: string
  readonly issuedAt: Seconds | undefined
  readonly names: readonly string[]
  passed: number
}

export function revocationMark(
  issuer: string,
  claims: JsonObject,
  clientId: string | undefined,
  tokenHash: () => string,
): RevocationMark {
  const names: string[] = []
  const add = (kind: RevocationKind, value: unknown) => {
    if (typeof value === 'string') names.push(nameOf(kind, value))
  }
  add('jti', claims.jti)
  add('sub', claims.sub)
  add('sid', claims.sid)
  add('client', clientId)
  add('issuer', issuer)
  add('token', tokenHash())
  const issuedAt = typeof claims.iat === 'number' ? claims.iat : undefined
  return { issuer, issuedAt, names, passed: -1 }
}

function nameOf(kind: RevocationKind, value: string): string {
  return `${kind} ${value}`
}

export class RevocationList {
  /** Counts changes. */
  version = 0
  /** False while a shared list was not read yet: then no token can be told from a revoked one. */
  isKnown = true
  #entries = new Map<string, Revocation[]>()

  #tell: ((revocation: Revocation) => void) | undefined

  /** Hears what `announce` adds: whoever keeps other lists like this one. */
  onAnnounced(tell: (revocation: Revocation) => void): void {
    this.#tell = tell
  }

  /** Adds what nobody ordered, such as by a logout: other processes have not heard of it. */
  announce(revocation: Revocation): void {
    this.add(revocation)
    this.#tell?.(revocation)
  }

  get size(): number {
    return this.#entries.size
  }

  add(revocation: Revocation): void {
    const name = nameOf(revocation.kind, revocation.value)
    const others = (this.#entries.get(name) ?? []).filter(
      (other) => other.issuer !== revocation.issuer || other.before !== revocation.before,
    )
    this.#entries.set(name, [...others, revocation])
    this.version++
  }

  remove(kind: RevocationKind, value: string): boolean {
    const existed = this.#entries.delete(nameOf(kind, value))
    if (existed) this.version++
    return existed
  }

  /** Takes one entry back, and leaves others for the same name. */
  withdraw({ kind, value, issuer, before }: Revocation): boolean {
    const name = nameOf(kind, value)
    const list = this.#entries.get(name) ?? []
    const left = list.filter((other) => other.issuer !== issuer || other.before !== before)
    if (left.length === list.length) return false
    if (left.length === 0) this.#entries.delete(name)
    else this.#entries.set(name, left)
    this.version++
    return true
  }

  /** Replaces everything: after a resynchronisation with a shared list. */
  replace(revocations: Iterable<Revocation>): void {
    this.#entries = new Map()
    for (const revocation of revocations) this.add(revocation)
    this.version++
  }

  /** Drops entries whose tokens have all expired. */
  expire(now: Seconds): void {
    for (const [name, list] of this.#entries) {
      const live = list.filter((entry) => entry.expiresAt > now)
      if (live.length === 0) this.#entries.delete(name)
      else if (live.length < list.length) this.#entries.set(name, live)
    }
  }

  *[Symbol.iterator](): Generator<Revocation> {
    for (const list of this.#entries.values()) yield* list
  }

  isRevoked(mark: RevocationMark): boolean {
    if (mark.passed === this.version) return false
    if (this.#entries.size > 0) {
      for (const name of mark.names) {
        const list = this.#entries.get(name)
        if (list?.some((entry) => concerns(entry, mark))) return true
      }
    }
    mark.passed = this.version
    return false
  }
}

function concerns(entry: Revocation, mark: RevocationMark): boolean {
  if (entry.issuer !== undefined && entry.issuer !== mark.issuer) return false
  return entry.before === undefined || mark.issuedAt === undefined || mark.issuedAt < entry.before
}

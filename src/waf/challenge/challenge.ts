/**
 * Challenges and clearances. A challenge is a signed ticket; who finds a number that makes the hash of both
 * begin with enough zero bits gets a clearance, which is a signed ticket too. Nothing is kept: a ticket says
 * when and for whom it was made, and the signature covers that and the host.
 *
 * Signed with the synchronous HMAC, so that a rule that matches is answered in the same turn as every other.
 */
import type { IpAddress, Millis, Seconds } from '../../exchange.ts'
import { fromUint8Array, toUint8Array } from '../../expression/bytes.ts'
import { encodeBase64 } from '../../expression/encodings.ts'
import { hmacSha256, sha256 } from '../../expression/sha256.ts'

/** How long a client may take to solve a challenge. */
const PATIENCE_SECONDS = 300
/** How far the clocks of two nodes may be apart. */
const SKEW_SECONDS = 60
/** Characters of the longest answer that can be right. */
export const MAX_ANSWER = 160

/** Who asks, as far as tickets are bound to it. */
export interface Visitor {
  readonly host: string
  readonly ip: IpAddress | undefined
  readonly userAgent: string
}

/** Why a ticket does not hold. `signature`: changed, or made for another host or with another secret. */
export type TicketFault = 'malformed' | 'signature' | 'expired' | 'address' | 'agent'
/** `unsolved`: the ticket holds, and the number does not solve it. */
export type AnswerFault = TicketFault | 'unsolved'

export interface ChallengeOptions {
  /** The first signs, all are accepted. */
  readonly keys: readonly Uint8Array[]
  /** Zero bits that the hash of an answer begins with. */
  readonly difficulty: number
  /** Lifetime of a clearance. */
  readonly ttlSeconds: Seconds
  /** Whether the key was drawn at random: it then ends with the process. */
  readonly isDrawn: boolean
}

type Kind = 'q' | 'c'

/** kind, issued, difficulty, network, agent, signature. */
const TICKET =
  /^([qc])\.([0-9]{1,11})\.([0-9]{1,2})\.([0-9a-f]{6}|[0-9a-f]{16}|-)\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{43})$/
const COUNTER = /^[0-9]{1,15}$/
const encoder = new TextEncoder()

export class Challenge {
  readonly options: ChallengeOptions

  constructor(options: ChallengeOptions) {
    this.options = options
  }

  /** A ticket to be solved. */
  issue(visitor: Visitor, now: Millis): string {
    return this.#write('q', visitor, now)
  }

  /** A ticket that passes. */
  clear(visitor: Visitor, now: Millis): string {
    return this.#write('c', visitor, now)
  }

  /**
   * @param answer a ticket, a dot, and the number that solves it
   * @returns what is wrong with it; undefined when it solves the challenge
   */
  answerFault(answer: string, visitor: Visitor, now: Millis): AnswerFault | undefined {
    const dot = answer.lastIndexOf('.')
    if (answer.length > MAX_ANSWER || !COUNTER.test(answer.slice(dot + 1))) return 'malformed'
    const ticket = answer.slice(0, dot)
    const fault = this.#fault('q', ticket, visitor, now, PATIENCE_SECONDS)
    if (fault !== undefined) return fault
    // Signed: it is the difficulty that this client was given.
    const difficulty = Number(ticket.split('.')[2])
    return leadingZeros(sha256(encoder.encode(answer))) < difficulty ? 'unsolved' : undefined
  }

  /** @returns why a clearance does not hold; undefined when it does */
  clearanceFault(ticket: string, visitor: Visitor, now: Millis): TicketFault | undefined {
    return this.#fault('c', ticket, visitor, now, this.options.ttlSeconds)
  }

  #write(kind: Kind, visitor: Visitor, now: Millis): string {
    const { keys, difficulty } = this.options
    const agent = agentOf(visitor.userAgent)
    const text = `${kind}.${Math.floor(now / 1000)}.${difficulty}.${networkOf(visitor.ip)}.${agent}`
    return `${text}.${signature(keys[0] as Uint8Array, text, visitor.host)}`
  }

  #fault(
    kind: Kind,
    ticket: string,
    visitor: Visitor,
    now: Millis,
    lifetime: Seconds,
  ): TicketFault | undefined {
    const parts = TICKET.exec(ticket)
    if (parts === null || parts[1] !== kind) return 'malformed'
    const text = ticket.slice(0, -44)
    const signed = parts[6] as string
    if (!this.options.keys.some((key) => isSame(signed, signature(key, text, visitor.host)))) {
      return 'signature'
    }
    const age = now / 1000 - Number(parts[2])
    if (age >= lifetime || age < -SKEW_SECONDS) return 'expired'
    if (parts[4] !== networkOf(visitor.ip)) return 'address'
    return parts[5] === agentOf(visitor.userAgent) ? undefined : 'agent'
  }
}

function signature(key: Uint8Array, text: string, host: string): string {
  return base64Url(hmacSha256(key, encoder.encode(`meridian-challenge\n${text}\n${host}`)))
}

function base64Url(bytes: Uint8Array): string {
  return encodeBase64(fromUint8Array(bytes), true, false)
}

/** The /24 of an IPv4 address, the /64 of an IPv6 address: what stays when a client's address changes by itself. */
function networkOf(ip: IpAddress | undefined): string {
  if (ip === undefined) return '-'
  const first = hex(ip.words[0] as number)
  return ip.family === 4 ? first.slice(0, 6) : first + hex(ip.words[1] as number)
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}

/** 96 bits of the hash of a User-Agent. */
function agentOf(userAgent: string): string {
  return base64Url(sha256(encoder.encode(userAgent)).subarray(0, 12))
}

function leadingZeros(digest: Uint8Array): number {
  let bits = 0
  for (const byte of digest) {
    if (byte !== 0) return bits + Math.clz32(byte) - 24
    bits += 8
  }
  return bits
}

/** In the same time wherever the difference is. */
function isSame(a: string, b: string): boolean {
  const left = toUint8Array(a)
  const right = toUint8Array(b)
  if (left.length !== right.length) return false
  let difference = 0
  for (let i = 0; i < left.length; i++) difference |= (left[i] as number) ^ (right[i] as number)
  return difference === 0
}

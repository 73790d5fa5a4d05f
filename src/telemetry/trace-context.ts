/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context-2/): where a request stands in a distributed
 * trace. Only trusted proxies are believed: whoever else sends a context could have every request of
 * theirs sampled, or hang them into a stranger's trace.
 */
import type { HeaderList, TraceSpan } from '../exchange.ts'
import type { Random } from '../ports.ts'

/** version "-" trace-id "-" parent-id "-" flags, of version 00. */
const LENGTH = 55
const FIELDS = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
const SAMPLED = 1

const MOST_MEMBERS = 32
/** Beyond it a tracestate may be dropped (§3.3.1.5). */
const MOST_STATE = 512
const MEMBER = /^[a-z0-9][a-z0-9_*/@-]{0,255}=[\u0020-\u002b\u002d-\u003c\u003e-\u007e]{0,256}$/

export interface TraceParent {
  readonly traceId: string
  readonly parentId: string
  readonly isSampled: boolean
}

/** @returns undefined for what is not a traceparent: the trace begins anew (§4.3) */
export function parseTraceparent(text: string): TraceParent | undefined {
  const match = FIELDS.exec(text)
  if (match === null) return undefined
  const [, version, traceId = '', parentId = '', flags = ''] = match
  if (version === 'ff' || (version === '00' && text.length !== LENGTH)) return undefined
  if (traceId === NO_TRACE || parentId === NO_SPAN) return undefined
  return { traceId, parentId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 }
}

/** The header for whoever is called by the span `spanId`. */
export function traceparent(span: TraceSpan, spanId: string): string {
  return `00-${span.traceId}-${spanId}-${span.isSampled ? '01' : '00'}`
}

/** A list that is handed on as it is; empty when it is not a tracestate, or too long. */
function tracestate(headers: HeaderList): string {
  const text = headers.joined('tracestate')
  if (text === undefined || text.length > MOST_STATE) return ''
  const members = text.split(',')
  if (members.length > MOST_MEMBERS) return ''
  for (const member of members) {
    const trimmed = member.trim()
    if (trimmed !== '' && !MEMBER.test(trimmed)) return ''
  }
  return text
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
/** Random bytes drawn at once: a system call for each id would cost more than the rest of it. */
const DRAWN = 4096

/** Ids of traces and spans. */
class Ids {
  readonly #random: Random
  #bytes: Uint8Array = new Uint8Array(0)
  #used = 0

  constructor(random: Random) {
    this.#random = random
  }

  #hex(bytes: number): string {
    if (this.#used + bytes > this.#bytes.length) {
      this.#bytes = this.#random.bytes(DRAWN)
      this.#used = 0
    }
    let out = ''
    const end = this.#used + bytes
    for (let i = this.#used; i < end; i++) out += HEX[this.#bytes[i] as number]
    this.#used = end
    return out
  }

  trace(): string {
    const id = this.#hex(16)
    return id === NO_TRACE ? `${id.slice(1)}1` : id
  }

  span(): string {
    const id = this.#hex(8)
    return id === NO_SPAN ? `${id.slice(1)}1` : id
  }
}

/** The last seven bytes of a trace id are random (§2.3.1.3): they decide, on every node alike. */
const RANDOMNESS = 2 ** 56

export interface TracerConfig {
  /** Whether requests get spans of their own. */
  readonly takesPart: boolean
  /** Whether a request without a trusted trace begins one. */
  readonly starts: boolean
  /** Share of the traces begun here that are sampled. */
  readonly sampling: number
}

export class Tracer {
  readonly #ids: Ids
  #config: TracerConfig

  constructor(config: TracerConfig, random: Random) {
    this.#ids = new Ids(random)
    this.#config = config
  }

  configure(config: TracerConfig): void {
    this.#config = config
  }

  /**
   * The span of a request.
   * @param trusted what a trusted proxy sent; undefined for anybody else's request
   * @returns undefined when the request is in no trace. Where the gateway takes no part, those of
   *   trusted proxies only pass through: a span that nobody records would be a hole in them.
   */
  begin(trusted: HeaderList | undefined): TraceSpan | undefined {
    const { takesPart, starts, sampling } = this.#config
    const sent = trusted === undefined ? undefined : parentOf(trusted)
    if (sent !== undefined && trusted !== undefined) {
      const { traceId, parentId, isSampled } = sent
      const spanId = takesPart ? this.#ids.span() : ''
      return { traceId, parentId, spanId, isSampled, state: tracestate(trusted) }
    }
    if (!starts) return undefined
    const traceId = this.#ids.trace()
    return {
      traceId,
      parentId: '',
      spanId: this.#ids.span(),
      isSampled: isChosen(traceId, sampling),
      state: '',
    }
  }

  /** An id for a span below one of `begin`. */
  span(): string {
    return this.#ids.span()
  }
}

/** Two of them are none (§3.2). */
function parentOf(headers: HeaderList): TraceParent | undefined {
  const first = headers.get('traceparent')
  if (first === undefined || headers.all('traceparent').length > 1) return undefined
  return parseTraceparent(first.trim())
}

function isChosen(traceId: string, sampling: number): boolean {
  if (sampling >= 1) return true
  return Number.parseInt(traceId.slice(18), 16) >= (1 - sampling) * RANDOMNESS
}

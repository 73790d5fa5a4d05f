/**
 * The request record: one flat set of values for each request, made when its reply has been sent. The
 * access log, the metrics, events, explanations and debug headers all read this record, so that they
 * cannot disagree. Everything in it has been through the mask.
 */
import type { Attempt, Exchange, Millis, Verdict } from '../exchange.ts'
import type { Mask } from './mask.ts'

/** Methods of RFC 9110 and PATCH; anything else is OpenTelemetry's `_OTHER`. */
export const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'CONNECT',
  'TRACE',
])

/** What only the runtime knows at the end of a request. */
export interface Settlement {
  /** What went on the wire; 0 when the client left before an answer. */
  readonly status: number
  /** Request body bytes read from the client. */
  readonly bytesIn: number
  /** Response body bytes handed to the client's socket. */
  readonly bytesOut: number
  /** From the request's header to the last byte of the reply, on the monotonic clock. */
  readonly durationMs: Millis
  /** Its start on the monotonic clock, for what is placed in time by that one; 0 when nothing is. */
  readonly monotonicStart?: Millis
}

/**
 * Absent texts are empty, absent numbers 0: one shape for every request. The pipeline keeps a single
 * record and writes it anew for each request; whoever wants to keep it copies what it needs.
 */
export interface RequestRecord {
  id: string
  /** Start, milliseconds since the epoch. */
  time: Millis
  durationMs: Millis
  method: string
  scheme: string
  /** `HTTP/1.0`, `HTTP/1.1`, `HTTP/2`. */
  protocol: string
  host: string
  path: string
  /** Masked. */
  query: string
  status: number
  /** `1xx` … `5xx`; `none` when nothing was sent. */
  statusClass: string
  /** A problem code, or `served`. */
  outcome: string
  route: string
  /** Truncated address. */
  client: string
  country: string
  asn: number
  /** Region, pool and origin of the last attempt; region alone when steering chose but nothing was sent. */
  region: string
  pool: string
  origin: string
  attempts: readonly Attempt[]
  /** The region that steering would have taken but for the price; empty when the price decided nothing. */
  cheaperThan: string
  cache: string
  cacheReason: string
  verdicts: readonly Verdict[]
  /** Whether a rule's action was carried out. */
  wasBlocked: boolean
  /** Whether a rule would have asked for a challenge that the client has solved. */
  wasCleared: boolean
  principal: string
  /** Hashed or masked subject. */
  subject: string
  bytesIn: number
  bytesOut: number
  /** `TLSv1.3`; empty on a plain connection. */
  tls: string
  userAgent: string
  /** Masked. */
  referer: string
  aborted: boolean
  /** Empty when the request is in no trace. */
  traceId: string
}

export function emptyRecord(): RequestRecord {
  return {
    id: '',
    time: 0,
    durationMs: 0,
    method: '',
    scheme: '',
    protocol: '',
    host: '',
    path: '',
    query: '',
    status: 0,
    statusClass: 'none',
    outcome: '',
    route: '',
    client: '',
    country: '',
    asn: 0,
    region: '',
    pool: '',
    origin: '',
    attempts: [],
    cheaperThan: '',
    cache: '',
    cacheReason: '',
    verdicts: [],
    wasBlocked: false,
    wasCleared: false,
    principal: '',
    subject: '',
    bytesIn: 0,
    bytesOut: 0,
    tls: '',
    userAgent: '',
    referer: '',
    aborted: false,
    traceId: '',
  }
}

/** Served, without an error and without a rule's word: of those, some may be left out of logs and traces. */
export function isOrdinary(record: RequestRecord): boolean {
  return record.outcome === 'served' && record.status < 500 && record.verdicts.length === 0
}

const STATUS_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx']
const PROTOCOLS = { '1.0': 'HTTP/1.0', '1.1': 'HTTP/1.1', '2': 'HTTP/2' } as const

function hasBlock(verdicts: readonly Verdict[]): boolean {
  for (let i = 0; i < verdicts.length; i++) {
    const verdict = verdicts[i] as Verdict
    if (verdict.enforced && (verdict.action === 'block' || verdict.action === 'challenge'))
      return true
  }
  return false
}

function hasCleared(verdicts: readonly Verdict[]): boolean {
  for (let i = 0; i < verdicts.length; i++) {
    if ((verdicts[i] as Verdict).isCleared === true) return true
  }
  return false
}

/** The cheapest of those about as near stands first in the order, and the nearest behind it. */
function dearerRegion({ decision }: Exchange, region: string): string {
  if (decision?.reason !== 'cheapest' || decision.region !== region) return ''
  return decision.order[1] ?? ''
}

/** Writes one request into `out`. */
export function writeRecord(
  x: Exchange,
  settlement: Settlement,
  mask: Mask,
  out: RequestRecord,
): void {
  const last = x.attempts.length === 0 ? undefined : x.attempts[x.attempts.length - 1]
  out.id = x.id
  out.time = x.startedAt
  out.durationMs = settlement.durationMs
  out.method = x.method
  out.scheme = x.scheme
  out.protocol = PROTOCOLS[x.httpVersion]
  out.host = x.host
  // A refused target may be a whole URL, with what stands before an @.
  out.path = x.refusal === undefined ? mask.text(x.target.path) : mask.url(x.target.path)
  out.query = mask.query(x.target.query)
  out.status = settlement.status
  out.statusClass = STATUS_CLASSES[(settlement.status / 100) | 0] ?? 'none'
  out.outcome = x.outcome
  out.route = x.route === undefined ? '' : x.route.id
  out.client = mask.client(x.client)
  out.country = x.geo.country ?? ''
  out.asn = x.geo.asn ?? 0
  out.region = last?.region ?? x.decision?.region ?? ''
  out.pool = last?.pool ?? ''
  out.origin = last?.origin ?? ''
  out.attempts = x.attempts
  out.cheaperThan = last === undefined ? '' : dearerRegion(x, last.region)
  out.cache = x.cacheStatus === undefined ? '' : x.cacheStatus.outcome
  out.cacheReason = x.cacheStatus === undefined ? '' : x.cacheStatus.reason
  out.verdicts = x.verdicts
  out.wasBlocked = x.verdicts.length > 0 && hasBlock(x.verdicts)
  out.wasCleared = x.verdicts.length > 0 && hasCleared(x.verdicts)
  out.principal = x.principal === undefined ? '' : x.principal.kind
  out.subject = x.principal === undefined ? '' : mask.subject(x.principal.subject)
  out.bytesIn = settlement.bytesIn
  out.bytesOut = settlement.bytesOut
  out.tls = x.client.tls === null ? '' : x.client.tls.version
  out.userAgent = mask.text(x.headers.get('user-agent') ?? '')
  out.referer = mask.url(x.headers.get('referer') ?? '')
  out.aborted = x.aborted
  out.traceId = x.trace === undefined ? '' : x.trace.traceId
}

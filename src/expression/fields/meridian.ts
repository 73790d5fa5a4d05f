/** The gateway's own fields: identity, route, steering, cache, WAF; and Cloudflare's names for the same. */
import type { Verdict } from '../../exchange.ts'
import { fromUint8Array, toBytes, toUint8Array } from '../bytes.ts'
import { alias, type Field, field } from '../field.ts'
import { sha256 } from '../sha256.ts'
import type { Subject } from '../subject.ts'
import { BOOL, BYTES, INT, INTS, IP, mapOf, STRING_MAP, STRINGS, type ValueMap } from '../types.ts'

const IDENTITY = 'identity step'
const WAF = 'WAF'
const SCORES = { needs: 'scores' } as const
const NOT_SCORED = 100

function bytesOf(text: string | null | undefined): string | undefined {
  return text === null || text === undefined ? undefined : toBytes(text)
}

function scoreOf(subject: Subject, attack: string): number {
  return subject.scores?.of(attack) ?? NOT_SCORED
}

/** Cloudflare's four classes, by its thresholds. */
function scoreClass(subject: Subject): string {
  const score = subject.scores?.total ?? NOT_SCORED
  if (score >= NOT_SCORED) return ''
  return score <= 20
    ? 'attack'
    : score <= 50
      ? 'likely_attack'
      : score <= 80
        ? 'likely_clean'
        : 'clean'
}

function scoreMap(subject: Subject): ValueMap {
  const { scores } = subject
  return new Map((scores?.classes ?? []).map((attack) => [attack, scoreOf(subject, attack)]))
}

function verdictTexts(subject: Subject, read: (verdict: Verdict) => string): string[] {
  return subject.exchange.verdicts.map((verdict) => toBytes(read(verdict)))
}

function numberClaims(subject: Subject): ValueMap {
  const map = new Map<string, number[]>()
  const claims = subject.exchange.principal?.claims
  for (const name in claims) {
    const value = claims[name]
    const items = (Array.isArray(value) ? value : [value]).filter((item) =>
      Number.isSafeInteger(item),
    )
    if (items.length > 0) map.set(toBytes(name), items)
  }
  return map
}

const total = field(
  'meridian.waf.score',
  INT,
  WAF,
  'Attack score of the request, 1 (attack) to 99 (clean); 100 when not scored.',
  (s) => s.scores?.total ?? NOT_SCORED,
  SCORES,
)
const sqli = field(
  'meridian.waf.score.sqli',
  INT,
  WAF,
  'Score for SQL injection.',
  (s) => scoreOf(s, 'sqli'),
  SCORES,
)
const xss = field(
  'meridian.waf.score.xss',
  INT,
  WAF,
  'Score for cross-site scripting.',
  (s) => scoreOf(s, 'xss'),
  SCORES,
)
const rce = field(
  'meridian.waf.score.rce',
  INT,
  WAF,
  'Score for command and code injection.',
  (s) => scoreOf(s, 'rce'),
  SCORES,
)
const scoreClassField = field(
  'meridian.waf.score.class',
  BYTES,
  WAF,
  '"attack" (to 20), "likely_attack" (to 50), "likely_clean" (to 80), "clean"; empty when not scored.',
  scoreClass,
  SCORES,
)

export const meridianFields: readonly Field[] = [
  field(
    'auth.kind',
    BYTES,
    IDENTITY,
    '"jwt", "opaque", "api-key", "signed-url", "certificate", "session" or "anonymous"; missing before identification.',
    (s) => s.exchange.principal?.kind,
  ),
  field(
    'auth.is_authenticated',
    BOOL,
    IDENTITY,
    'Whether an identity was proven.',
    (s) => (s.exchange.principal?.kind ?? 'anonymous') !== 'anonymous',
  ),
  field(
    'auth.subject',
    BYTES,
    IDENTITY,
    'Who the request acts for; missing without a principal.',
    (s) => bytesOf(s.exchange.principal?.subject),
  ),
  field(
    'auth.issuer',
    BYTES,
    IDENTITY,
    'Who vouches for the subject; missing when nobody does.',
    (s) => bytesOf(s.exchange.principal?.issuer),
  ),
  field(
    'auth.scopes',
    STRINGS,
    IDENTITY,
    'Granted scopes; missing without a principal.',
    (s) => s.exchange.principal?.scopes,
  ),
  field(
    'auth.claims',
    STRING_MAP,
    IDENTITY,
    'Claims by name as arrays of text; numbers and booleans as text, objects as JSON.',
    (s) => s.authClaims(),
  ),
  field('auth.claims.names', STRINGS, IDENTITY, 'Names of the claims.', (s) => [
    ...s.authClaims().keys(),
  ]),
  field('auth.claims.integers', mapOf(INTS), IDENTITY, 'Integer claims by name.', numberClaims),
  field('route.id', BYTES, 'router', 'Id of the matched route; missing before routing.', (s) =>
    bytesOf(s.exchange.route?.id),
  ),
  field('meridian.request_id', BYTES, 'request id', 'Id of the request.', (s) => s.exchange.id),
  field(
    'meridian.client.peer',
    IP,
    'socket',
    'Address of the direct peer.',
    (s) => s.exchange.client.peer,
    { workers: 'not on Workers: missing' },
  ),
  field(
    'meridian.client.via_trusted_proxy',
    BOOL,
    'trustedProxies',
    'Whether the direct peer is a trusted proxy.',
    (s) => s.exchange.client.viaTrustedProxy,
  ),
  field(
    'meridian.region',
    BYTES,
    'steering',
    'The region that was chosen; missing before steering.',
    (s) => bytesOf(s.exchange.decision?.region),
  ),
  field(
    'meridian.steering.policy',
    BYTES,
    'steering',
    'The policy that chose it; missing before steering.',
    (s) => bytesOf(s.exchange.decision?.policy),
  ),
  field(
    'meridian.steering.reason',
    BYTES,
    'steering',
    'Why it was chosen; missing before steering.',
    (s) => bytesOf(s.exchange.decision?.reason),
  ),
  field(
    'meridian.cache.outcome',
    BYTES,
    'cache',
    '"hit", "stale", "revalidated", "miss", "bypass" or "pass"; missing before lookup.',
    (s) => s.exchange.cacheStatus?.outcome,
  ),
  field(
    'meridian.outcome',
    BYTES,
    'gateway',
    'Why the reply is what it is: a problem code, or "served".',
    (s) => s.exchange.outcome,
  ),
  field(
    'meridian.attempts',
    INT,
    'upstream',
    'Tries at origins so far.',
    (s) => s.exchange.attempts.length,
  ),
  total,
  sqli,
  xss,
  rce,
  scoreClassField,
  field('meridian.waf.scores', mapOf(INT), WAF, 'Score by class of attack.', scoreMap, SCORES),
  field('meridian.waf.rules', STRINGS, WAF, 'Ids of the rules that matched so far.', (s) =>
    verdictTexts(s, (verdict) => verdict.rule),
  ),
  field('meridian.waf.actions', STRINGS, WAF, 'Their actions, in the same order.', (s) =>
    verdictTexts(s, (verdict) => verdict.action),
  ),
  alias('cf.waf.score', total),
  alias('cf.waf.score.sqli', sqli),
  alias('cf.waf.score.xss', xss),
  alias('cf.waf.score.rce', rce),
  alias('cf.waf.score.class', scoreClassField),
  field(
    'cf.random_seed',
    BYTES,
    'hash of the request id',
    '32 bytes that differ between requests, for uuidv4(); not for secrets.',
    (s) => fromUint8Array(sha256(toUint8Array(`seed:${toBytes(s.exchange.id)}`))),
  ),
]

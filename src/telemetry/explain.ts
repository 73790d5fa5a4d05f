/**
 * Why a request was answered as it was: each step of the path with its outcome and its reason, as plain
 * JSON, taken from the exchange that went through it. Masked like a log line.
 */
import type { CandidateVerdict, Exchange, Verdict } from '../exchange.ts'
import { isProblemCode, PROBLEMS, type ProblemCode } from '../http/problem.ts'
import type { Mask } from './mask.ts'

export const STEPS = [
  'accept',
  'locate',
  'route',
  'guard',
  'inspect',
  'identify',
  'quota',
  'recall',
  'steer',
  'forward',
] as const
export type StepName = (typeof STEPS)[number]

export type StepOutcome = 'passed' | 'answered' | 'not-reached'

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

export interface ExplainedStep {
  readonly step: StepName
  readonly outcome: StepOutcome
  /** One sentence for people. */
  readonly why: string
  readonly detail: Readonly<Record<string, Json>>
}

export interface Explanation {
  readonly id: string
  readonly request: {
    readonly method: string
    readonly host: string
    readonly path: string
    readonly query: string
    readonly client: string
    readonly headers: readonly (readonly [name: string, value: string])[]
  }
  readonly steps: readonly ExplainedStep[]
  readonly answer: { readonly status: number; readonly outcome: string; readonly title: string }
}

/** What the pipeline may know beyond the exchange. */
export interface ExplainFacts {
  readonly status: number
  /** The step that answered; worked out from the outcome when absent. */
  readonly answeredBy?: StepName
  readonly candidates?: readonly CandidateVerdict[]
  /** Of the route, when the request is in one. */
  readonly rollout?: ExplainedRollout | undefined
}

/** In which arm of a rollout the request is, and where that rollout is. */
export interface ExplainedRollout {
  readonly rollout: string
  readonly arm: 'old' | 'new'
  /** Of the arm. */
  readonly pool: string
  /** Of clients in the new arm. */
  readonly percent: number
  readonly phase: string
}

const ANSWERED_BY = {
  'bad-request': 'accept',
  'bad-target': 'accept',
  'bad-host': 'accept',
  'bad-framing': 'accept',
  'bad-field': 'accept',
  'body-cut': 'forward',
  'method-not-allowed': 'accept',
  'request-timeout': 'accept',
  'body-too-large': 'accept',
  'target-too-long': 'accept',
  'expectation-failed': 'accept',
  misdirected: 'accept',
  'fields-too-large': 'accept',
  'bad-transfer-coding': 'accept',
  'bad-version': 'accept',
  'loop-detected': 'accept',
  'no-route': 'route',
  blocked: 'inspect',
  'denied-address': 'guard',
  challenge: 'inspect',
  'challenge-failed': 'accept',
  unauthenticated: 'identify',
  'bad-credentials-request': 'identify',
  forbidden: 'identify',
  'login-failed': 'accept',
  'identity-unavailable': 'identify',
  'rate-limited': 'guard',
  penalized: 'accept',
  'waiting-room': 'guard',
  overloaded: 'guard',
  'residency-unavailable': 'steer',
  'residency-denied': 'steer',
  'no-healthy-origin': 'steer',
  'origin-connect': 'forward',
  'origin-reset': 'forward',
  'origin-protocol': 'forward',
  'origin-truncated': 'forward',
  'origin-timeout': 'forward',
  deadline: 'forward',
  'not-cached': 'recall',
  'client-closed': 'forward',
  internal: 'forward',
} as const satisfies Partial<Record<ProblemCode, StepName>>

function answeringStep(x: Exchange): StepName {
  if (x.refusal !== undefined) return 'accept'
  const known: Readonly<Record<string, StepName>> = ANSWERED_BY
  const step = known[x.outcome]
  if (x.outcome === 'rate-limited' || x.outcome === 'overloaded') {
    // Once a region is chosen, it is what counts only at the origin that refused.
    if (x.decision !== undefined) return 'forward'
    if (x.principal !== undefined) return 'quota'
  }
  if (step !== undefined) return step
  return x.attempts.length === 0 && x.cacheStatus !== undefined && servesStored(x)
    ? 'recall'
    : 'forward'
}

function servesStored(x: Exchange): boolean {
  return x.cacheStatus?.outcome === 'hit' || x.cacheStatus?.outcome === 'stale'
}

type StepText = readonly [why: string, detail: Readonly<Record<string, Json>>]

function verdictDetail(verdict: Verdict, mask: Mask): Json {
  const { rule, ruleset, action, enforced, phase, description } = verdict
  const detail: Record<string, Json> = { rule, ruleset, action, enforced, phase, description }
  if (verdict.target !== undefined) detail.target = verdict.target
  if (verdict.match !== undefined) detail.match = mask.match(verdict.target, verdict.match)
  if (verdict.score !== undefined) detail.score = verdict.score
  if (verdict.isCleared === true) detail.isCleared = true
  return detail
}

function shownPath(x: Exchange, mask: Mask): string {
  return x.refusal === undefined ? mask.text(x.target.path) : mask.url(x.target.path)
}

function acceptText(x: Exchange, mask: Mask): StepText {
  const detail = {
    path: shownPath(x, mask),
    rewritten: x.target.raw !== x.target.pathAndQuery,
    viaTrustedProxy: x.client.viaTrustedProxy,
    tls: x.client.tls?.version ?? null,
  }
  if (x.outcome === 'penalized' || x.outcome === 'challenge-failed') return [whyOf(x), detail]
  return x.refusal === undefined
    ? ['The request is well formed.', detail]
    : [`The front refused it: ${titleOf(x.refusal)}`, { ...detail, problem: x.refusal }]
}

function locateText(x: Exchange): StepText {
  const { geo } = x
  const detail = {
    country: geo.country,
    continent: geo.continent,
    asn: geo.asn,
    latitude: Number.isNaN(geo.latitude) ? null : geo.latitude,
    longitude: Number.isNaN(geo.longitude) ? null : geo.longitude,
    source: geo.source,
  }
  return geo.slot === 0
    ? ['The location of the client is not known.', detail]
    : [`The client is in ${geo.country ?? 'an unknown country'}, says ${geo.source}.`, detail]
}

function inspectText(x: Exchange, mask: Mask): StepText {
  const verdicts = x.verdicts.map((verdict) => verdictDetail(verdict, mask))
  const acting = x.verdicts.find((one) => one.enforced && one.action === 'block')
  if (acting !== undefined) {
    return [`Rule ${acting.rule} blocked it: ${acting.description}`, { verdicts }]
  }
  const asking = x.verdicts.find((one) => one.enforced && one.action === 'challenge')
  if (asking !== undefined) {
    const why = `Rule ${asking.rule} asks for a challenge: ${asking.description}. ${x.why ?? ''}`
    return [why.trimEnd(), { verdicts }]
  }
  const cleared = x.verdicts.find((one) => one.isCleared)
  if (cleared !== undefined) {
    const why = `Rule ${cleared.rule} asks for a challenge, which the client has solved before.`
    return [why, { verdicts }]
  }
  return verdicts.length === 0
    ? ['No rule matched.', {}]
    : [`${verdicts.length} rule(s) matched, none of which blocks.`, { verdicts }]
}

function identifyText(x: Exchange, mask: Mask): StepText {
  const { principal } = x
  if (x.outcome === 'forbidden' || x.outcome === 'unauthenticated') return [whyOf(x), {}]
  if (principal === undefined) return ['No identity was asked for.', {}]
  const { kind, issuer, scopes } = principal
  return [
    `Identified by ${kind}.`,
    { kind, issuer, scopes: [...scopes], subject: mask.subject(principal.subject) },
  ]
}

function recallText(x: Exchange): StepText {
  const status = x.cacheStatus
  if (status === undefined) return ['The cache was not asked.', {}]
  const { outcome, reason, coding } = status
  if (coding === undefined) return [`${outcome}: ${reason}`, { outcome, reason }]
  return [`${outcome}: ${reason}, sent in ${coding}`, { outcome, reason, coding }]
}

function steerText(x: Exchange, { candidates = [], rollout }: ExplainFacts): StepText {
  const { decision } = x
  const detail: Record<string, Json> = {}
  if (rollout !== undefined) detail.rollout = { ...rollout }
  if (candidates.length > 0) {
    detail.candidates = candidates.map(({ region, cost, outcome }) => ({ region, cost, outcome }))
  }
  if (decision === undefined) {
    return [x.outcome === 'served' ? 'No region was needed.' : titleOf(x.outcome), detail]
  }
  detail.region = decision.region
  detail.order = [...decision.order]
  detail.policy = decision.policy
  detail.reason = decision.reason
  const chosen = `${decision.region} by ${decision.policy}: ${decision.reason}`
  if (rollout === undefined) return [chosen, detail]
  const { arm, pool, percent, phase } = rollout
  const where = `rollout ${rollout.rollout}: ${arm} arm, pool ${pool} (${percent} %, ${phase})`
  return [`${chosen}; ${where}`, detail]
}

function forwardText(x: Exchange): StepText {
  const last = x.attempts.at(-1)
  if (last === undefined) return [x.outcome === 'served' ? 'Nothing was sent.' : whyOf(x), {}]
  const attempts = x.attempts.map(({ region, pool, origin, outcome, status, durationMs }) => {
    return { region, pool, origin, outcome, status, durationMs }
  })
  const ended = last.status === null ? last.outcome : `status ${last.status}`
  return [`${last.origin} in ${last.region}: ${ended}, try ${attempts.length}.`, { attempts }]
}

function textOf(step: StepName, x: Exchange, mask: Mask, facts: ExplainFacts): StepText {
  switch (step) {
    case 'accept':
      return acceptText(x, mask)
    case 'locate':
      return locateText(x)
    case 'route':
      return x.route === undefined
        ? ['No route matched.', {}]
        : [`Route ${x.route.id} matched.`, { route: x.route.id }]
    case 'guard':
      return ['No address rule or limit stopped it.', {}]
    case 'inspect':
      return inspectText(x, mask)
    case 'identify':
      return identifyText(x, mask)
    case 'quota':
      return ['No quota stopped it.', {}]
    case 'recall':
      return recallText(x)
    case 'steer':
      return steerText(x, facts)
    case 'forward':
      return forwardText(x)
  }
}

function whyOf(x: Exchange): string {
  return x.why ?? titleOf(x.outcome)
}

function titleOf(outcome: string): string {
  return isProblemCode(outcome) ? PROBLEMS[outcome].title : outcome
}

/** The explanation of an exchange that has been answered, or would be. */
export function explain(x: Exchange, facts: ExplainFacts, mask: Mask): Explanation {
  const answeredBy = facts.answeredBy ?? answeringStep(x)
  const last = STEPS.indexOf(answeredBy)
  const steps = STEPS.map((step, index): ExplainedStep => {
    if (index > last)
      return { step, outcome: 'not-reached', why: 'An earlier step answered.', detail: {} }
    const [why, detail] = textOf(step, x, mask, facts)
    const isLimit = index === last && (step === 'guard' || step === 'quota')
    return {
      step,
      outcome: index === last ? 'answered' : 'passed',
      why: isLimit ? whyOf(x) : why,
      detail,
    }
  })
  const names = x.headers.names()
  return {
    id: x.id,
    request: {
      method: x.method,
      host: x.host,
      path: shownPath(x, mask),
      query: mask.query(x.target.query),
      client: mask.ip(x.client.ip),
      headers: names.map((name, i) => [name, mask.header(name, x.headers.flat[i * 2 + 1] ?? '')]),
    },
    steps,
    answer: {
      status: facts.status,
      outcome: x.outcome,
      title: x.outcome === 'served' ? 'Served.' : titleOf(x.outcome),
    },
  }
}

const MARKS: Readonly<Record<StepOutcome, string>> = {
  passed: '✓',
  answered: '■',
  'not-reached': '·',
}

/** For a terminal: one line a step. */
export function explanationText(explanation: Explanation): string {
  const { request, steps, answer } = explanation
  const target = request.query === '' ? request.path : `${request.path}?${request.query}`
  const lines = [
    `${request.method} ${request.host}${target}  from ${request.client || 'unknown'}`,
    '',
  ]
  for (const { step, outcome, why } of steps) {
    lines.push(
      `  ${MARKS[outcome]} ${step.padEnd(9)} ${outcome === 'not-reached' ? '' : why}`.trimEnd(),
    )
  }
  lines.push('', `  ${answer.status} ${answer.outcome}: ${answer.title}`)
  return lines.join('\n')
}

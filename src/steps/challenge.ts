/** Challenges: the page that asks for an answer, and the answer that comes back. */
import type { BodyPrefix, Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import { type AnswerFault, type Challenge, MAX_ANSWER } from '../waf/challenge/challenge.ts'
import { clearanceField } from '../waf/challenge/clearance-cookie.ts'
import { challengePage, PAGE_FIELDS } from '../waf/challenge/page.ts'
import type { WafBlock } from '../waf/pass.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The page for a browser; undefined for everybody else, who is refused. */
export function challenged(
  x: Passage,
  { status }: WafBlock,
  { platform, telemetry }: Services,
): Reply | undefined {
  const { challenge } = x.snapshot
  const fault = x.clearanceFault ?? 'missing'
  x.why = fault === 'missing' ? 'It shows no clearance.' : `Its clearance does not hold: ${fault}.`
  const { challenges } = telemetry.metrics
  if (fault !== 'missing' && isForged(fault, challenge)) x.offence = 'challenge'
  if (challenge === undefined || !takesPage(x)) {
    challenges.add(['refused', fault])
    return undefined
  }
  challenges.add(['issued', fault])
  x.isOwnPage = true
  const ticket = challenge.issue(x.visitor, platform.clock.now())
  const page = challengePage(ticket, challenge.options.difficulty)
  return { status, headers: [...PAGE_FIELDS], body: encoder.encode(page) }
}

/**
 * Whether no honest browser sends this: not what is late, or from before a change of network or browser. A
 * secret that was drawn ends with its process, and makes forgeries of what was issued before.
 */
function isForged(fault: AnswerFault, challenge: Challenge | undefined): boolean {
  if (fault === 'signature') return challenge?.options.isDrawn === false
  return fault === 'malformed' || fault === 'unsolved'
}

function takesPage(x: Passage): boolean {
  if (x.method !== 'GET' && x.method !== 'HEAD') return false
  return x.headers.joined('accept')?.toLowerCase().includes('text/html') ?? false
}

/** A request for the reserved path; it is answered here whatever it is. */
export function answered(x: Passage, challenge: Challenge, services: Services): StepResult {
  if (x.method !== 'POST') {
    x.outcome = 'method-not-allowed'
    return problem('method-not-allowed', x.id, { headers: ['allow', 'POST'] })
  }
  const { body } = x
  // One character more than an answer can have tells that it is none; the rest is never waited for.
  if (body === null || (body.length ?? 0) > MAX_ANSWER) {
    return judged(x, challenge, undefined, services)
  }
  const prefix = body.prefix(MAX_ANSWER + 1)
  return prefix instanceof Promise
    ? prefix.then((late) => judged(x, challenge, late, services))
    : judged(x, challenge, prefix, services)
}

function judged(
  x: Passage,
  challenge: Challenge,
  prefix: BodyPrefix | undefined,
  { platform, telemetry }: Services,
): Reply {
  const { visitor } = x
  const now = platform.clock.now()
  const { challenges } = telemetry.metrics
  const fault: AnswerFault | undefined =
    prefix === undefined || prefix.truncated
      ? 'malformed'
      : challenge.answerFault(decoder.decode(prefix.bytes), visitor, now)
  if (fault !== undefined) {
    challenges.add(['failed', fault])
    if (isForged(fault, challenge)) x.offence = 'challenge'
    x.outcome = 'challenge-failed'
    x.why = `The answer to a challenge was refused: ${fault}.`
    return problem('challenge-failed', x.id)
  }
  challenges.add(['solved', 'none'])
  const { ttlSeconds } = challenge.options
  const clearance = challenge.clear(visitor, now)
  return {
    status: 204,
    headers: [
      'set-cookie',
      clearanceField(clearance, ttlSeconds, x.scheme),
      'cache-control',
      'no-store',
    ],
    body: null,
  }
}

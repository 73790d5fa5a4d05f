/** Logins of browsers: their own paths, what a refused person gets instead, and the cookies of a session. */
import type { Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import type { Denied } from '../iam/denied.ts'
import { clientName } from '../iam/identity.ts'
import { LOGIN_FAULTS } from '../iam/login/faults.ts'
import type { Login, LoginAnswer } from '../iam/login/login.ts'
import type { RouteAuth } from '../iam/route-auth.ts'
import type { Passage } from '../passage.ts'

const NONE = 'none'

/** A request for one of the login's own paths; undefined for every other. */
export function atLogin(x: Passage, login: Login, services: Services): StepResult {
  const place = login.placeOf(x)
  if (place === undefined) return undefined
  const method = place === 'logout' ? 'POST' : 'GET'
  if (x.method !== method) {
    x.outcome = 'method-not-allowed'
    return problem('method-not-allowed', x.id, { headers: ['allow', method] })
  }
  if (place === 'start') return later(login.start(x), (answer) => begun(x, answer, services))
  if (place === 'callback') {
    return later(login.callback(x, clientName(x)), (answer) =>
      answered(x, answer, 'completed', services),
    )
  }
  return later(login.logout(x), (answer) => answered(x, answer, 'logout', services))
}

function later(
  answer: LoginAnswer | Promise<LoginAnswer>,
  then: (answer: LoginAnswer) => Reply,
): Reply | Promise<Reply> {
  return answer instanceof Promise ? answer.then(then) : then(answer)
}

/** The way to the provider for a person who was refused; undefined where that does not help. */
export function loginInstead(
  x: Passage,
  auth: RouteAuth,
  denied: Denied,
  services: Services,
): Promise<Reply> | undefined {
  const { identity } = x.snapshot
  const login = identity?.login
  if (login === undefined || identity === undefined) return undefined
  if (!identity.isHelpedByLogin(x, auth, denied) || !login.mayBegin(x)) return undefined
  const context =
    denied.reason === 'insufficient_user_authentication' ? auth.authContext : undefined
  return login.begin(x, x.target.pathAndQuery, context).then((answer) => {
    const reply = begun(x, answer, services)
    if ('location' in answer) {
      x.outcome = 'unauthenticated'
      x.why = `Sent to log in: ${denied.reason}.`
    }
    return reply
  })
}

/** Fields for the answer to a request with a session: its cookie, and that no cache may share it. */
export function addSessionFields(x: Passage, login: Login, { telemetry }: Services): void {
  if (x.principal?.kind === 'session') x.addReplyFields(PRIVATE)
  const note = login.sessions.noteOf(x)
  if (note === undefined) return
  if (note.cookies.length > 0) {
    x.addReplyFields(note.cookies.flatMap((cookie) => ['set-cookie', cookie]))
  }
  if (note.refresh === 'refreshed') telemetry.metrics.logins.add(['refreshed', NONE])
  else if (note.refresh !== undefined) {
    telemetry.metrics.logins.add(['refresh-failed', note.refresh])
  }
}

/** Cookies, unlike `Authorization`, keep no cache on the way from sharing an answer (RFC 9111 §3.5). */
const PRIVATE: readonly string[] = ['cache-control', 'private']

function begun(x: Passage, answer: LoginAnswer, services: Services): Reply {
  return answered(x, answer, 'begun', services)
}

function answered(
  x: Passage,
  answer: LoginAnswer,
  outcome: 'begun' | 'completed' | 'logout',
  { telemetry }: Services,
): Reply {
  if ('location' in answer) {
    telemetry.metrics.logins.add([outcome, NONE])
    const headers = ['location', answer.location]
    for (const cookie of answer.cookies) headers.push('set-cookie', cookie)
    // The address of the callback holds a code.
    headers.push('cache-control', 'no-store', 'referrer-policy', 'no-referrer')
    return { status: answer.status, headers, body: null }
  }
  const { fault, cause, retryAfter } = answer
  const { status, text } = LOGIN_FAULTS[fault]
  telemetry.metrics.logins.add(['failed', fault])
  const code = fault === 'provider_unavailable' ? 'identity-unavailable' : 'login-failed'
  x.outcome = code
  x.why = `The login failed: ${fault}, ${cause}.`
  return problem(code, x.id, {
    status,
    detail: text,
    headers: retryAfter === undefined ? [] : ['retry-after', String(retryAfter)],
  })
}

/** Why a login, or the end of one, was refused. Codes are stable; clients read the sentence. */

interface FaultSpec {
  readonly status: 400 | 403 | 429 | 500 | 503
  readonly text: string
}

const AGAIN = 'Open the page again to log in.'

export const LOGIN_FAULTS = {
  state_missing: { status: 400, text: `This is no answer of the login provider. ${AGAIN}` },
  state_unknown: {
    status: 400,
    text: `This browser began no such login, or cookies are blocked. ${AGAIN}`,
  },
  state_invalid: { status: 400, text: `This browser began another login. ${AGAIN}` },
  login_expired: { status: 400, text: `The login took too long. ${AGAIN}` },
  login_replayed: { status: 400, text: `This login is over already. ${AGAIN}` },
  response_invalid: { status: 400, text: `The answer to the login does not hold. ${AGAIN}` },
  provider_refused: { status: 403, text: 'The login provider refused the login.' },
  cross_site: { status: 403, text: 'Another site may not do this.' },
  return_invalid: { status: 400, text: 'The page to come back to is not one of this site.' },
  too_many_failures: { status: 429, text: 'Too many failed logins.' },
  session_too_large: { status: 500, text: 'The login cannot be kept: it holds too much.' },
  provider_unavailable: { status: 503, text: 'The login provider cannot be reached.' },
} as const satisfies Record<string, FaultSpec>

export type LoginFault = keyof typeof LOGIN_FAULTS

/** Pieces that the configs with mistakes are made of. */

/** What stands where a secret, a key or a password does not belong; it must never be repeated. */
export const LEAK = 'hunter2-do-not-print-me'

export const POOLS = '"pools": {"app": {"origins": [{"url": "http://127.0.0.1:3000"}]}}'
export const ROUTES = '"routes": [{"pools": ["app"]}]'
/** A config that holds but for what is added. */
export const withRest = (rest: string) => `{${POOLS}, ${ROUTES}, ${rest}}`
export const withRoute = (route: string) => `{${POOLS}, "routes": [${route}]}`
export const withOrigin = (origin: string) =>
  `{"pools": {"app": {"origins": [${origin}]}}, ${ROUTES}}`

export interface Case {
  readonly name: string
  readonly text: string
  readonly path: string
  readonly message: string | RegExp
  readonly hint?: string
  /** `line:column`, where it matters. */
  readonly at?: string
}

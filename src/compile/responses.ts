/** Routes that answer by themselves: redirects and fixed responses. */
import type { Report } from '../config/errors.ts'
import type { RouteConfig } from '../config/sections/routes.ts'
import type { Reply } from '../exchange.ts'
import type { Passage } from '../passage.ts'
import type { Expressions } from './expressions.ts'

const encoder = new TextEncoder()

export function compileResponse(
  config: RouteConfig,
  path: string,
  expressions: Expressions,
  report: Report,
): ((x: Passage) => Reply) | undefined {
  const { redirect, respond } = config
  if (redirect !== undefined) {
    const { to, status, keepQuery } = redirect
    const computed =
      typeof to === 'string'
        ? () => to
        : expressions.value(to.expression, `${path}.redirect.to.expression`, report)
    if (computed === undefined) return undefined
    return (x) => {
      const location = safeLocation(String(computed(x) ?? '/'))
      const { query } = x.target
      const full =
        keepQuery && query !== ''
          ? `${location}${location.includes('?') ? '&' : '?'}${query}`
          : location
      return { status, headers: ['location', full, 'content-length', '0'], body: null }
    }
  }
  if (respond === undefined) return undefined
  const body = encoder.encode(respond.body)
  const headers: string[] = [
    'content-type',
    respond.contentType,
    'content-length',
    String(body.length),
  ]
  for (const name of Object.keys(respond.headers))
    headers.push(name, respond.headers[name] as string)
  return () => ({ status: respond.status, headers: [...headers], body })
}

/**
 * A computed location: `//host` and `/\host` would leave the site though they look like paths, and
 * control characters would split the header.
 */
function safeLocation(text: string): string {
  if (/[^\x21-\x7e]/.test(text)) return '/'
  if (/^https?:\/\/[A-Za-z0-9]/.test(text)) return text
  return text.startsWith('/') && !/^\/[/\\]/.test(text) ? text : '/'
}

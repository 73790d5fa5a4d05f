/** Refusals of the control port, as problem details (RFC 9457). */
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'

/** @param members that the problem has beside those of the RFC */
export function adminProblem(
  c: Context,
  status: ContentfulStatusCode,
  title: string,
  headers: Record<string, string> = {},
  members: Readonly<Record<string, unknown>> = {},
): Response {
  return c.body(JSON.stringify({ type: 'about:blank', title, status, ...members }), status, {
    'content-type': 'application/problem+json',
    ...headers,
  })
}

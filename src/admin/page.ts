/**
 * The dashboard's own files. They hold nothing of the gateway's and need no token; every datum that the page
 * shows comes from the other paths, with one.
 */
import type { Hono } from 'hono'
import { adminProblem } from './problem.ts'
import type { AdminContext, AdminEnv } from './route.ts'

export interface PageFile {
  readonly type: string
  readonly plain: Uint8Array<ArrayBuffer>
  readonly gzip: Uint8Array<ArrayBuffer>
  /** Strong validator, with its quotes. */
  readonly etag: string
  /** Whether its name changes with what it holds. */
  readonly isImmutable: boolean
}

/** Files by name; the page itself is `index.html`. */
export type PageFiles = ReadonlyMap<string, PageFile>

/** Everything from here, nothing inline, no frame around it, no form that leads elsewhere. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

export function isPagePath(path: string): boolean {
  return path === '/ui' || path.startsWith('/ui/')
}

function answer(c: AdminContext, file: PageFile): Response {
  const headers: Record<string, string> = {
    'cache-control': file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    'content-security-policy': POLICY,
    'permissions-policy': 'camera=(), geolocation=(), microphone=()',
    vary: 'accept-encoding',
    etag: file.etag,
  }
  if (c.req.header('if-none-match') === file.etag) return c.body(null, 304, headers)
  headers['content-type'] = file.type
  const takesGzip = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(
    c.req.header('accept-encoding') ?? '',
  )
  if (takesGzip) headers['content-encoding'] = 'gzip'
  return c.body(takesGzip ? file.gzip : file.plain, 200, headers)
}

/**
 * @param files        undefined where the page was not built: the path then says so
 * @param asksForToken said to the page, so that it need not find out by a refused call
 */
export function pageRoutes(
  app: Hono<AdminEnv>,
  files: PageFiles | undefined,
  asksForToken: boolean,
): void {
  const isRead = (c: AdminContext) => c.req.method === 'GET' || c.req.method === 'HEAD'
  const refusal = (c: AdminContext) =>
    adminProblem(c, 405, 'This method is not allowed here.', { allow: 'GET, HEAD' })
  // With the slash, so that the page's links stay below it, whatever a proxy puts in front.
  app.all('/ui', (c) => (isRead(c) ? c.body(null, 308, { location: 'ui/' }) : refusal(c)))
  app.all('/ui/:name{.*}', (c) => {
    if (!isRead(c)) return refusal(c)
    const name = c.req.param('name') || 'index.html'
    if (name === 'gate.json') return c.json({ asksForToken }, 200, { 'cache-control': 'no-store' })
    const file = files?.get(name)
    if (file !== undefined) return answer(c, file)
    return adminProblem(
      c,
      404,
      files === undefined ? 'The dashboard is not part of this installation.' : 'Nothing is here.',
    )
  })
}

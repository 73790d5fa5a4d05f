/** What publishing a file has in common: the precondition that is asked for, and the answers. */
import * as v from 'valibot'
import { adminProblem } from './problem.ts'
import type { IfMatch, Published, SourceText, TextProblem } from './publish-view.ts'
import type { AdminContext } from './route.ts'

/** Largest config or ruleset that is taken, bytes. */
export const MAX_TEXT_BYTES = 8 * 1024 * 1024

export const Problems = v.object({
  valid: v.boolean(),
  problems: v.array(
    v.object({
      path: v.string(),
      message: v.string(),
      hint: v.optional(v.string()),
      file: v.optional(v.string()),
      line: v.optional(v.number()),
      column: v.optional(v.number()),
    }),
  ),
})

export const PublishedAnswer = v.object({
  etag: v.string(),
  workers: v.number(),
  of: v.number(),
})

export const IF_MATCH = {
  'if-match': 'The ETag of the text that is replaced, or `*` for whatever is there.',
} as const

export const PUBLISH_PROBLEMS = {
  409: 'It cannot be replaced here: read-only, or not a file.',
  412: 'The text has been changed since; the ETag of the answer is that of what is there now.',
  422: 'It does not hold; `problems` says why. Nothing was changed.',
  428: 'If-Match is missing.',
  503: 'It did not go into use everywhere; what was there before is back.',
} as const

export function validation(c: AdminContext, problems: readonly TextProblem[]): Response {
  return c.json({ valid: problems.length === 0, problems })
}

export function source(c: AdminContext, { text, etag }: SourceText): Response {
  return c.body(text, 200, { 'content-type': 'application/json; charset=utf-8', etag: `"${etag}"` })
}

/** The field's tags, or the refusal. Weak ones never match: RFC 9110 §13.1.1. */
export function ifMatchOf(c: AdminContext): IfMatch | Response {
  const field = c.req.header('if-match')
  if (field === undefined) {
    return adminProblem(c, 428, 'Say what is replaced: If-Match with its ETag, or "*".')
  }
  if (field.trim() === '*') return '*'
  const tags = field.split(',').map((part) => /^\s*"([!#-~]*)"\s*$/.exec(part)?.[1])
  return tags.some((tag) => tag === undefined)
    ? adminProblem(c, 400, 'If-Match takes entity tags in double quotes, or "*".')
    : (tags as string[])
}

/** @param what for people: `The config`, `The ruleset "own"` */
export function publishAnswer(c: AdminContext, what: string, result: Published): Response {
  switch (result.outcome) {
    case 'published': {
      const { etag, workers, of } = result
      c.header('etag', `"${etag}"`)
      return c.json({ etag, workers, of })
    }
    case 'stale':
      return adminProblem(c, 412, `${what} has been changed since.`, { etag: `"${result.etag}"` })
    case 'invalid':
      return adminProblem(
        c,
        422,
        `${what} does not hold; nothing was changed.`,
        {},
        {
          problems: result.problems,
        },
      )
    case 'unavailable':
      return adminProblem(c, 409, `${what} cannot be replaced: ${result.why}`)
    case 'failed':
      return adminProblem(c, 503, `${what} did not go into use: ${result.why}`)
  }
}

/** For the audit log: what stands for what now. */
export function notePublication(c: AdminContext, ifMatch: IfMatch, result: Published): void {
  const note = c.get('note')
  note.detail = {
    from: ifMatch === '*' ? '*' : ifMatch.join(' '),
    outcome: result.outcome,
    ...('etag' in result ? { to: result.etag } : {}),
  }
}

/** Texts of the control port that can be replaced: the config and rulesets, with their problems. */
import type { TextProblem } from '../admin/publish-view.ts'
import { type Api, ApiError } from './api.ts'

export interface SourceText {
  readonly text: string
  readonly etag: string
}

export async function readSource(api: Api, path: string): Promise<SourceText> {
  const response = await api.open('GET', path)
  return { text: await response.text(), etag: response.headers.get('etag') ?? '' }
}

export type Publication =
  | { readonly outcome: 'published'; readonly etag: string; readonly workers: number }
  | { readonly outcome: 'stale' }
  | { readonly outcome: 'invalid'; readonly problems: readonly TextProblem[] }

/** @throws ApiError for what the operator cannot mend in the text */
export async function publish(api: Api, path: string, source: SourceText): Promise<Publication> {
  try {
    const { value, etag } = await api.ask<{ workers: number }>('PUT', path, {
      text: source.text,
      headers: { 'if-match': source.etag },
    })
    return { outcome: 'published', etag: etag ?? '', workers: value.workers }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    if (error.status === 412) return { outcome: 'stale' }
    const problems = problemsOf(error)
    if (error.status === 422 && problems !== undefined) return { outcome: 'invalid', problems }
    throw error
  }
}

/** What a refusal says is wrong with a text. */
export function problemsOf(error: unknown): readonly TextProblem[] | undefined {
  if (!(error instanceof ApiError)) return undefined
  const { problems } = (error.body ?? {}) as { problems?: readonly TextProblem[] }
  return problems
}

export function problemWords({ path, message, hint, line, column }: TextProblem): string {
  const where =
    line === undefined ? path : `line ${line}${column === undefined ? '' : `:${column}`}`
  const name = path === '' || path === where ? '' : ` ${path}`
  return `${where}${name}: ${message}${hint === undefined ? '' : ` (${hint})`}`
}

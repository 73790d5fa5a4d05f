/** Bodies of orders to the control port. */
import type { Context } from 'hono'
import type * as v from 'valibot'

/** What is no JSON is told apart from no schema's: both are refused. */
export async function jsonBody(c: Context): Promise<unknown> {
  try {
    return await c.req.json()
  } catch {
    return undefined
  }
}

/** A body as text, chunked or not; undefined when it has more bytes than it may have. */
export async function textBody(c: Context, maxBytes: number): Promise<string | undefined> {
  const stated = c.req.header('content-length')
  if (stated !== undefined && Number(stated) > maxBytes) return undefined
  const { body } = c.req.raw
  if (body === null) return ''
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    length += value.byteLength
    if (length > maxBytes) {
      await reader.cancel()
      return undefined
    }
    chunks.push(value)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return new TextDecoder().decode(bytes)
}

/** What is no JSON is told apart from no schema's: both are refused. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The first thing that is wrong with an order, and where. */
export function firstIssue(
  issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]],
): string {
  const [issue] = issues
  const path = issue.path?.map((part) => String(part.key)).join('.') ?? ''
  return path === '' ? issue.message : `${path}: ${issue.message}`
}

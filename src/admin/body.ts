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

/** The first thing that is wrong with an order, and where. */
export function firstIssue(
  issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]],
): string {
  const [issue] = issues
  const path = issue.path?.map((part) => String(part.key)).join('.') ?? ''
  return path === '' ? issue.message : `${path}: ${issue.message}`
}

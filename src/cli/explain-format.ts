/** An explanation of one request: plain JSON, and its form for people. */

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** What one step did. */
export interface ExplainedStep {
  /** accept, locate, route, guard, inspect, identify, recall, steer, forward, settle. */
  readonly step: string
  /** One word: pass, matched, blocked, hit, chosen, skipped… */
  readonly outcome: string
  /** Why, in a sentence. */
  readonly reason?: string | undefined
  /** What it looked at and found. */
  readonly detail?: { readonly [key: string]: JsonValue } | undefined
}

export interface Explanation {
  readonly request: {
    readonly method: string
    readonly url: string
    readonly ip: string | null
    readonly headers: readonly (readonly [name: string, value: string])[]
  }
  readonly steps: readonly ExplainedStep[]
  /** What the gateway answers itself; null when an origin would answer. */
  readonly reply: {
    readonly status: number
    /** Code of the problem document, when it is one. */
    readonly problem?: string | undefined
    readonly headers?: readonly (readonly [name: string, value: string])[] | undefined
  } | null
  /** Where the request would be sent; null when it would not. */
  readonly forward: {
    readonly region?: string | undefined
    readonly pool?: string | undefined
    readonly origin: string
    /** Path and query as the origin sees them. */
    readonly path: string
  } | null
}

/** For people: the request, one line a step with its details below, and the end. */
export function formatExplanation(explanation: Explanation): string {
  const { request, steps, reply, forward } = explanation
  const lines = [`${request.method} ${request.url} from ${request.ip ?? 'an unknown address'}`, '']
  const stepWidth = Math.max(4, ...steps.map((step) => step.step.length))
  const outcomeWidth = Math.max(4, ...steps.map((step) => step.outcome.length))
  for (const step of steps) {
    lines.push(
      `  ${step.step.padEnd(stepWidth)}  ${step.outcome.padEnd(outcomeWidth)}  ${step.reason ?? ''}`.trimEnd(),
    )
    const indent = ' '.repeat(stepWidth + 4)
    for (const [key, value] of Object.entries(step.detail ?? {})) {
      lines.push(`${indent}${key}: ${formatValue(value)}`)
    }
  }
  lines.push('')
  if (reply !== null) {
    lines.push(`answer: ${reply.status}${reply.problem === undefined ? '' : ` ${reply.problem}`}`)
    for (const [name, value] of reply.headers ?? []) lines.push(`  ${name}: ${value}`)
  }
  if (forward !== null) {
    const where = [forward.region, forward.pool, forward.origin].filter(
      (part) => part !== undefined,
    )
    lines.push(`forward: ${where.join(' / ')} ${forward.path}`)
  }
  return `${lines.join('\n')}\n`
}

function formatValue(value: JsonValue): string {
  if (typeof value === 'string') return value
  if (isList(value)) return value.length === 0 ? 'none' : value.map(formatItem).join(', ')
  if (value !== null && typeof value === 'object') {
    return Object.entries(value)
      .map(([key, item]) => `${key} ${formatItem(item)}`)
      .join(', ')
  }
  return String(value)
}

function formatItem(value: JsonValue): string {
  return value !== null && typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

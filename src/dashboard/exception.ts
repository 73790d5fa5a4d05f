/** WAF exceptions out of events, and how one is put into a config without disturbing the rest of its text. */
import { applyEdits, modify } from 'jsonc-parser'
import type { WafException } from '../config/sections/waf.ts'
import type { GatewayEvent } from '../telemetry/events.ts'

export type ExceptionDraft = Partial<Pick<WafException, 'description' | 'when' | 'ids' | 'target'>>

/** How far an exception reaches. */
export type Reach = 'path' | 'below' | 'all'

/** Rules of the CRS have numbers, the gateway's own have names. */
const isNumber = (rule: string) => /^\d+$/.test(rule)

/** A text of the rules language. */
const quoted = (text: string) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`

export function rulesOf(event: GatewayEvent): string[] {
  const { rules } = event.detail
  return Array.isArray(rules) ? [...rules] : []
}

/** A target can be left out of CRS rules and of what leaks; native rules have no targets. */
export function targetOf(event: GatewayEvent): string | undefined {
  const { target } = event.detail
  const rules = rulesOf(event)
  const takesTarget = rules.length > 0 && rules.every((r) => isNumber(r) || r === 'data-leak')
  return takesTarget && typeof target === 'string' && /^([A-Z_]+(:.+)?|leak:[a-z-]+)$/.test(target)
    ? target
    : undefined
}

/** The folder of a path, with its slash. */
export const folderOf = (path: string) => path.slice(0, path.lastIndexOf('/') + 1)

function conditionOf(event: GatewayEvent, reach: Reach): string | undefined {
  const { path, host } = event.detail
  if (reach === 'all' || typeof path !== 'string') return undefined
  const where =
    reach === 'path'
      ? `http.request.uri.path eq ${quoted(path)}`
      : `starts_with(http.request.uri.path, ${quoted(folderOf(path))})`
  return typeof host === 'string' && host !== ''
    ? `http.host eq ${quoted(host)} and ${where}`
    : where
}

export function exceptionOf(
  event: GatewayEvent,
  choice: {
    readonly rules: readonly string[]
    readonly reach: Reach
    readonly onlyTarget: boolean
    readonly why: string
  },
): ExceptionDraft {
  const when = conditionOf(event, choice.reach)
  const target = choice.onlyTarget ? targetOf(event) : undefined
  return {
    ...(choice.why.trim() === '' ? {} : { description: choice.why.trim() }),
    ...(when === undefined ? {} : { when }),
    ids: choice.rules.map((rule) => (isNumber(rule) ? Number(rule) : rule)),
    ...(target === undefined ? {} : { target }),
  }
}

/** The config's text with the exception at the end of `waf.exceptions`; comments and layout stay. */
export function withException(config: string, exception: ExceptionDraft): string {
  const edits = modify(config, ['waf', 'exceptions', -1], exception, {
    isArrayInsertion: true,
    formattingOptions: { insertSpaces: true, tabSize: 2, eol: '\n' },
  })
  return applyEdits(config, edits)
}

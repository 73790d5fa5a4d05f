/** Rulesets as a Worker of one config needs them: data, without what its settings never come to. */
import type { MeridianConfig } from '../config/schema.ts'
import { isOfIds, isSeclang } from '../waf/rulesets.ts'
import type { Waf } from '../waf/waf.ts'

/** The text of a ruleset of ours without the tests of its rules, which held when the Worker was built. */
export function withoutTests(ruleset: string): string {
  return JSON.stringify(JSON.parse(ruleset), (key, value) => (key === 'tests' ? undefined : value))
}

interface Seclang {
  readonly rules: readonly { readonly id?: number; readonly marker?: string }[]
  readonly lists?: Readonly<Record<string, unknown>>
}

/**
 * An imported ruleset without the rules above the config's paranoia level and the lists that only they read;
 * what an exception names stays. Anything else comes back as it is.
 * @param text of a file that the config names
 */
export function withoutUnused(text: string, config: MeridianConfig, { engine }: Waf): string {
  if (engine === undefined) return text
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return text
  }
  if (!isSeclang(json)) return text
  const ruleset = json as Seclang
  const exceptions = [
    ...config.waf.exceptions,
    ...config.routes.flatMap(({ waf }) => (typeof waf === 'object' ? (waf.exceptions ?? []) : [])),
  ]
  const named = exceptions.flatMap(({ ids = [] }) => ids.map(String))
  const rules = ruleset.rules.filter(
    ({ id }) =>
      id === undefined || !engine.unused.has(id) || named.some((text) => isOfIds(id, text)),
  )
  const read = JSON.stringify(rules)
  const lists = Object.entries(ruleset.lists ?? {}).filter(([name]) =>
    read.includes(JSON.stringify(name)),
  )
  return JSON.stringify({ ...ruleset, rules, lists: Object.fromEntries(lists) })
}

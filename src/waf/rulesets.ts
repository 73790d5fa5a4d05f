/**
 * The rulesets that a config names: read from the gateway's own or from files, in whichever of the three
 * forms they are written, with the config's changes put on the imported ones.
 */
import * as v from 'valibot'
import type { Report } from '../config/errors.ts'
import type { WafConfig } from '../config/sections/waf.ts'
import type { SeclangRuleset } from './engine/rule-schema.ts'
import { fromCloudflare, isCloudflareRuleset } from './rules/cloudflare.ts'
import type { RuleChange } from './rules/native.ts'

/** Where the texts of rulesets are. */
export interface RulesetTexts {
  /** Text of a ruleset that comes with the gateway; undefined when it is not there. */
  readonly builtIn: (name: string) => string | undefined
  /** Contents of the files that the config names, by path as written. */
  readonly files: ReadonlyMap<string, string>
  /** The tests of their rules held when the config was checked, and are not run again. */
  readonly areTested?: boolean | undefined
}

export interface LoadedRuleset {
  readonly path: string
  readonly mode: 'enforce' | 'simulate'
  readonly changes: readonly RuleChange[]
  readonly json: unknown
  readonly name: string
}

export function loadRulesets(
  config: WafConfig,
  options: RulesetTexts,
  report: Report,
): LoadedRuleset[] {
  const loaded: LoadedRuleset[] = []
  for (const [i, entry] of config.rulesets.entries()) {
    const path = `waf.rulesets[${i}]`
    const settings = typeof entry === 'string' ? undefined : entry
    const file = settings !== undefined && 'file' in settings ? settings.file : undefined
    const name = typeof entry === 'string' ? entry : 'name' in entry ? entry.name : entry.file
    const text = file === undefined ? options.builtIn(name) : options.files.get(file)
    if (text === undefined) {
      report(path, file === undefined ? `the ruleset "${name}" is missing` : `${file} was not read`)
      continue
    }
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch (thrown) {
      report(path, `${name} is not JSON: ${thrown instanceof Error ? thrown.message : ''}`)
      continue
    }
    if (isCloudflareRuleset(json)) {
      const short = name
        .replace(/^.*\//, '')
        .replace(/\.json$/i, '')
        .toLowerCase()
      json = fromCloudflare(json, short.replace(/[^a-z0-9._-]/g, '-'), (at, message) =>
        report(`${path}.${at}`, message),
      )
    }
    const changes = (settings?.overrides ?? []).map((override) => ({
      ...override,
      ids: override.ids?.map(String),
    }))
    loaded.push({ path, mode: settings?.mode ?? 'enforce', changes, json, name })
  }
  return loaded
}

/** SecLang rules have targets; an empty ruleset is native. */
export function isSeclang(json: unknown): boolean {
  if (typeof json !== 'object' || json === null || !('rules' in json)) return false
  const { rules } = json
  if (!Array.isArray(rules)) return false
  return rules.some(
    (rule: unknown) =>
      typeof rule === 'object' && rule !== null && ('targets' in rule || 'marker' in rule),
  )
}

export function parseRuleset<const S extends v.GenericSchema>(
  schema: S,
  { json, path }: LoadedRuleset,
  report: Report,
): v.InferOutput<S> | undefined {
  const result = v.safeParse(schema, json)
  if (result.success) return result.output
  for (const issue of result.issues.slice(0, 20)) {
    const at = (v.getDotPath(issue) ?? '').replace(/\.(\d+)(?=\.|$)/g, '[$1]')
    report(at === '' ? path : `${path}.${at}`, issue.message)
  }
  return undefined
}

export function changedSeclang(ruleset: SeclangRuleset, loaded: LoadedRuleset): SeclangRuleset {
  if (loaded.mode === 'enforce' && loaded.changes.length === 0) return ruleset
  const rules = ruleset.rules.map((rule) => {
    if ('marker' in rule) return rule
    let result = loaded.mode === 'simulate' ? { ...rule, mode: loaded.mode } : rule
    for (const change of loaded.changes) {
      const isMeant =
        change.ids?.some((id) => isOfIds(rule.id, id)) ||
        change.tags?.some((tag) => rule.tags?.includes(tag))
      if (!isMeant) continue
      result = {
        ...result,
        enabled: change.enabled ?? result.enabled ?? true,
        mode: change.mode ?? result.mode ?? 'enforce',
      }
    }
    return result
  })
  return { ...ruleset, rules }
}

/** Whether a numeric id is the one in the text, or in its range `900100-900199`. */
export function isOfIds(id: number, text: string): boolean {
  const range = /^(\d+)-(\d+)$/.exec(text)
  return range === null ? text === String(id) : id >= Number(range[1]) && id <= Number(range[2])
}

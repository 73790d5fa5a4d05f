/** Run-time controls (`ctl`): what a rule may change about the rest of its transaction. */

import { LinearRegex } from '../../expression/regex/linear.ts'
import { parseRegex } from '../../expression/regex/re2-tree.ts'
import type { Effect } from './compiled.ts'
import type { SeclangRule } from './rule-schema.ts'
import { checkedRegex, parseTarget, TargetRemoval } from './targets.ts'

export interface RuleFinder {
  /** A mark for each rule of the engine that is accepted. */
  select(accepts: (rule: SeclangRule) => boolean): Uint8Array
}

/** `text` is an id, a range, or a list of them by commas or spaces. */
export function matchesId(id: number, text: string): boolean {
  return text.split(/[\s,]+/).some((part) => {
    const range = /^(\d+)-(\d+)$/.exec(part)
    return range === null ? part === String(id) : id >= Number(range[1]) && id <= Number(range[2])
  })
}

type Accepts = (rule: SeclangRule) => boolean

function byKind(kind: string, text: string, fail: (message: string) => never): Accepts {
  if (kind === 'Id') {
    if (!/^[\d\s,-]+$/.test(text)) fail(`"${text}" is not a rule id`)
    return (rule) => matchesId(rule.id, text)
  }
  if (kind === 'Msg') return (rule) => rule.msg === text
  const options = { dotAll: true }
  checkedRegex(text, () => parseRegex(text, options), fail)
  const regex = new LinearRegex(text, options)
  return (rule) => rule.tags?.some((tag) => tag === text || regex.test(tag)) ?? false
}

/** @returns undefined for a control that has nothing to act on here */
export function compileControl(
  name: string,
  value: string,
  finder: RuleFinder,
  fail: (message: string) => never,
): Effect | undefined {
  const removal = /^ruleRemove(Target)?By(Id|Tag|Msg)$/.exec(name)
  if (removal !== null) {
    const kind = removal[2] as string
    if (removal[1] === undefined) {
      const rules = finder.select(byKind(kind, value, fail))
      return (tx) => tx.removeRules(rules)
    }
    const semicolon = value.indexOf(';')
    if (semicolon < 0) fail(`${name} needs a rule and a target, separated by a semicolon`)
    const rules = finder.select(byKind(kind, value.slice(0, semicolon), fail))
    const target = new TargetRemoval(parseTarget(value.slice(semicolon + 1).trim(), fail))
    return (tx) => tx.removeTargets(rules, target)
  }
  switch (name) {
    case 'ruleEngine': {
      const mode = { on: 'on', off: 'off', detectiononly: 'detect' }[value.toLowerCase()]
      if (mode !== 'on' && mode !== 'off' && mode !== 'detect') {
        return fail(`ruleEngine takes On, Off or DetectionOnly, not "${value}"`)
      }
      return (tx) => {
        tx.mode = mode
      }
    }
    case 'requestBodyProcessor': {
      const processor = value.toUpperCase()
      if (
        processor !== 'URLENCODED' &&
        processor !== 'MULTIPART' &&
        processor !== 'XML' &&
        processor !== 'JSON'
      ) {
        return fail(`there is no body processor ${value}`)
      }
      return (tx) => {
        tx.message.processor = processor
      }
    }
    case 'forceRequestBodyVariable': {
      const isOn = value.toLowerCase() === 'on'
      return (tx) => {
        tx.message.forceBodyVariable = isOn
      }
    }
    default:
      return undefined
  }
}

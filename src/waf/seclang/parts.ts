/** The three arguments of a rule: variables, operator, actions. */
import type { SeclangOperator } from '../engine/rule-schema.ts'

/** Splits `A|!B:x|C:/re|gex/`; bars inside a slashed or quoted selector do not count. */
export function splitTargets(text: string): string[] {
  const targets: string[] = []
  let current = ''
  let closer = ''
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (closer !== '') {
      if (char === '\\' && at + 1 < text.length) {
        current += char + text.charAt(++at)
        continue
      }
      // A selector's regex ends at the slash before a bar or the end.
      if (char === closer && (at + 1 === text.length || /[|'\s]/.test(text.charAt(at + 1))))
        closer = ''
      current += char
    } else if (char === '|' || char === ',') {
      if (current !== '') targets.push(current)
      current = ''
    } else {
      // "://" begins an XPath selector (XML://@*), not a regex.
      if (current.endsWith(':') && (char === '/' || char === "'")) {
        const isXpath = /^[!&]?XML:$/i.test(current)
        if (!isXpath) closer = char
      }
      current += char
    }
  }
  if (current !== '') targets.push(current)
  return targets.map((target) => target.trim().replace(/^([!&]?\w+):'(.*)'$/s, '$1:$2'))
}

/** `!@rx pattern`, `@eq 0`, or a bare pattern, which means rx. */
export function parseOperator(text: string): SeclangOperator {
  const match = /^(!?)\s*@(\w+)(?:\s+([\s\S]*))?$/.exec(text)
  const negated = match === null ? text.startsWith('!') : match[1] === '!'
  const name = match === null ? 'rx' : (match[2] as string)
  const argument = match === null ? (negated ? text.slice(1) : text) : (match[3] ?? '')
  return {
    name,
    ...(argument === '' && name !== 'rx' ? {} : { argument }),
    ...(negated ? { negated: true } : {}),
  }
}

export interface ActionText {
  /** Lower case. */
  readonly name: string
  readonly value: string | undefined
}

/** Splits at commas outside single quotes; values lose their quotes, and `\'` becomes a quote. */
export function splitActions(text: string): ActionText[] {
  const actions: ActionText[] = []
  let at = 0
  while (at < text.length) {
    while (at < text.length && /[\s,]/.test(text.charAt(at))) at++
    if (at >= text.length) break
    let name = ''
    while (at < text.length && !/[:,=\s]/.test(text.charAt(at))) name += text.charAt(at++)
    while (at < text.length && /\s/.test(text.charAt(at))) at++
    let value: string | undefined
    if (text.charAt(at) === ':' || text.charAt(at) === '=') {
      at++
      while (at < text.length && /\s/.test(text.charAt(at))) at++
      value = ''
      if (text.charAt(at) === "'") {
        at++
        while (at < text.length && text.charAt(at) !== "'") {
          if (text.charAt(at) === '\\' && text.charAt(at + 1) === "'") at++
          value += text.charAt(at++)
        }
        at++
      } else {
        while (at < text.length && text.charAt(at) !== ',') value += text.charAt(at++)
        value = value.trimEnd()
      }
    }
    actions.push({ name: name.toLowerCase(), value })
  }
  return actions
}

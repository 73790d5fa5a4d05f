/** Header changes and target rewrites of a route, compiled to functions over flat field lists. */
import type { Report } from '../config/errors.ts'
import type { HeaderChangesConfig, TransformsConfig } from '../config/sections/routes.ts'
import { canonicalTarget } from '../http/target.ts'
import type { Passage } from '../passage.ts'
import type { Expressions } from './expressions.ts'

type FieldChange = (x: Passage, fields: string[]) => void

export interface CompiledTransforms {
  readonly targetOf: ((x: Passage, pathAndQuery: string) => string) | undefined
  readonly requestFields: FieldChange | undefined
  readonly responseFields: FieldChange | undefined
}

const NONE: CompiledTransforms = {
  targetOf: undefined,
  requestFields: undefined,
  responseFields: undefined,
}

export function compileTransforms(
  config: TransformsConfig | undefined,
  path: string,
  expressions: Expressions,
  report: Report,
): CompiledTransforms {
  if (config === undefined) return NONE
  return {
    targetOf: compileTarget(config, path, expressions, report),
    requestFields: compileFields(config.request, `${path}.request`, expressions, report),
    responseFields: compileFields(config.response, `${path}.response`, expressions, report),
  }
}

interface FieldValue {
  readonly name: string
  readonly lower: string
  readonly valueOf: (x: Passage) => string | undefined
}

function compileFields(
  config: HeaderChangesConfig | undefined,
  path: string,
  expressions: Expressions,
  report: Report,
): FieldChange | undefined {
  if (config === undefined) return undefined
  const set = compileValues(config.set, `${path}.set`, expressions, report)
  const add = compileValues(config.add, `${path}.add`, expressions, report)
  const removed = new Set([
    ...config.remove.map((name) => name.toLowerCase()),
    ...set.map((field) => field.lower),
  ])
  return (x, fields) => {
    // Values first: an expression may read what is about to be removed.
    const values = set.map((field) => field.valueOf(x))
    if (removed.size > 0) removeFields(fields, removed)
    for (let i = 0; i < set.length; i++) {
      const value = values[i]
      if (value !== undefined) fields.push((set[i] as FieldValue).name, value)
    }
    for (const field of add) {
      const value = field.valueOf(x)
      if (value !== undefined) fields.push(field.name, value)
    }
  }
}

/** Removes fields in place. */
export function removeFields(fields: string[], names: ReadonlySet<string>): void {
  let kept = 0
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (names.has(name.toLowerCase())) continue
    fields[kept] = name
    fields[kept + 1] = fields[i + 1] as string
    kept += 2
  }
  fields.length = kept
}

/** Line breaks and control characters in a computed value would split the message. */
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/

function compileValues(
  entries: Readonly<Record<string, string | { readonly expression: string }>>,
  path: string,
  expressions: Expressions,
  report: Report,
): FieldValue[] {
  const values: FieldValue[] = []
  for (const name of Object.keys(entries)) {
    const entry = entries[name] as string | { readonly expression: string }
    const lower = name.toLowerCase()
    if (typeof entry === 'string') {
      values.push({ name, lower, valueOf: () => entry })
      continue
    }
    const computed = expressions.value(entry.expression, `${path}.${name}.expression`, report)
    if (computed === undefined) continue
    values.push({
      name,
      lower,
      valueOf: (x) => {
        const value = computed(x)
        if (value === undefined) return undefined
        const text = String(value)
        return UNSAFE.test(text) ? undefined : text
      },
    })
  }
  return values
}

function compileTarget(
  config: TransformsConfig,
  path: string,
  expressions: Expressions,
  report: Report,
): ((x: Passage, pathAndQuery: string) => string) | undefined {
  const { stripPrefix, rewrite } = config
  if (stripPrefix === undefined && rewrite === undefined) return undefined
  const pathOf =
    rewrite?.path === undefined
      ? undefined
      : expressions.value(rewrite.path, `${path}.rewrite.path`, report)
  const queryOf =
    rewrite?.query === undefined
      ? undefined
      : expressions.value(rewrite.query, `${path}.rewrite.query`, report)
  return (x, pathAndQuery) => {
    const mark = pathAndQuery.indexOf('?')
    let newPath = mark < 0 ? pathAndQuery : pathAndQuery.slice(0, mark)
    if (stripPrefix !== undefined && isBelow(newPath, stripPrefix)) {
      newPath = newPath.slice(stripPrefix.length)
      if (newPath === '') newPath = '/'
    }
    const computedPath = pathOf?.(x)
    if (computedPath !== undefined) newPath = String(computedPath)
    const computedQuery = queryOf?.(x)
    const ownQuery = mark < 0 ? '' : pathAndQuery.slice(mark + 1)
    const query = computedQuery === undefined ? ownQuery : String(computedQuery)
    const rewritten = query === '' ? newPath : `${newPath}?${query}`
    // What a rewrite makes of the client's text is held to the same rules as the client's text.
    const canonical = canonicalTarget(rewritten)
    return typeof canonical === 'string' ? pathAndQuery : canonical.pathAndQuery
  }
}

function isBelow(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === '/')
}

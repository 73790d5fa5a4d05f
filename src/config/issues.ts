/**
 * Valibot's issues in words for people. Valibot's own messages print what they received; here only the
 * kind of a value is ever told, because a secret may stand where it does not belong.
 */
import * as v from 'valibot'
import { formatPath, type Segment } from './document.ts'
import { secret } from './values.ts'
import {
  branchesOf,
  chooseBranch,
  isBuiltOn,
  kindOf,
  kindsOf,
  type SchemaView,
  takesKeys,
  unwrap,
  type ValueKind,
  viewOf,
  walk,
} from './walk.ts'
import { KIND_WORDS, listed, quote, shorten, suggestion, unitHint } from './wording.ts'

/** One problem at a path, before its place in the text is known. */
export interface Finding {
  readonly path: readonly Segment[]
  readonly message: string
  readonly hint?: string | undefined
  /** Point at the key, not at its value. */
  readonly atKey?: boolean
}

/**
 * Validates `input` by `schema`.
 * @returns the value with defaults and units resolved, or everything that is wrong: what Valibot found,
 * and what it does not look for
 */
export function validate<const S extends v.GenericSchema>(
  schema: S,
  input: unknown,
): { readonly value: v.InferOutput<S> } | { readonly findings: readonly Finding[] } {
  const findings = findMisplacedKeys(viewOf(schema), input)
  const result = v.safeParse(schema, input)
  if (result.success && findings.length === 0) return { value: result.output }
  for (const issue of result.issues ?? []) {
    findings.push(...explainIssue(viewOf(schema), input, issue, []))
  }
  if (findings.length === 0) findings.push({ path: [], message: 'this is not a configuration' })
  return { findings: withoutRepeats(findings) }
}

/** Unknown keys (all of them) and lists that stand where an object is expected. */
function findMisplacedKeys(schema: SchemaView, root: unknown): Finding[] {
  const findings: Finding[] = []
  walk(schema, root, (here, value, path) => {
    if (here.wrapped !== undefined || here.getter !== undefined) return
    if (takesKeys(here) && Array.isArray(value)) {
      findings.push({ path, message: 'an object is expected, not a list' })
    } else if (here.type === 'strict_object' && kindOf(value) === 'object') {
      const known = Object.keys(here.entries ?? {})
      for (const key of Object.keys(value as object)) {
        if (known.includes(key)) continue
        findings.push({
          path: [...path, key],
          message: `unknown key ${quote(key)}`,
          hint: suggestion(key, known) ?? `known here: ${listed(known)}`,
          atKey: true,
        })
      }
    }
  })
  return findings
}

type Issue = v.BaseIssue<unknown>

function explainIssue(
  schema: SchemaView,
  value: unknown,
  issue: Issue,
  prefix: readonly Segment[],
): Finding[] {
  const inside = (issue.path ?? []).map((item) => item.key as Segment)
  const path = [...prefix, ...inside]
  if (issue.type === 'strict_object' && issue.expected === 'never') return []
  if (issue.kind === 'schema' && issue.path?.at(-1)?.origin === 'key' && isMissing(issue)) {
    const key = String(inside.at(-1))
    return [{ path: path.slice(0, -1), message: `${quote(key)} is missing` }]
  }
  if (issue.type === 'variant' && inside.length > 0) {
    return [explainVariant(schemaAt(schema, value, inside.slice(0, -1)), issue, path)]
  }
  const at = schemaAt(schema, value, inside)
  const branches = at === undefined ? undefined : branchesOf(at)
  if (at !== undefined && branches !== undefined) return explainUnion(at, branches, issue, path)
  return [finding(issue, path, at)]
}

/** No branch has this discriminator: Valibot's issue stands at the discriminator, one key deeper. */
function explainVariant(
  schema: SchemaView | undefined,
  issue: Issue,
  path: readonly Segment[],
): Finding {
  const key = String(path.at(-1))
  const branches = (schema === undefined ? undefined : branchesOf(schema)) ?? []
  const choices = branches.flatMap((branch) => {
    const entry = unwrap(branch).entries?.[key]
    return entry === undefined ? [] : choicesOf(entry)
  })
  if (issue.input === undefined) {
    return {
      path: path.slice(0, -1),
      message: `${quote(key)} is missing`,
      hint: `one of ${listed(choices)}`,
    }
  }
  const texts = choices.filter((choice) => typeof choice === 'string')
  return {
    path,
    message: `one of ${listed(choices)} is expected`,
    hint: typeof issue.input === 'string' ? suggestion(issue.input, texts) : undefined,
  }
}

/** A key that is required and not there: the issue expects the key's own name. */
function isMissing(issue: Issue): boolean {
  return issue.expected?.startsWith('"') === true && issue.input === undefined
}

function explainUnion(
  schema: SchemaView,
  branches: readonly SchemaView[],
  issue: Issue,
  path: readonly Segment[],
): Finding[] {
  const value = issue.input
  const kind = kindOf(value)
  const isSecret = isBuiltOn(schema, viewOf(secret))
  const branch = chooseBranch(branches, value)
  const isStructured = kind === 'object' || kind === 'array'
  if (branch !== undefined && !isSecret && (isStructured || !hasOwnMessage(issue))) {
    // Branches are schemas; the view only hides Valibot's methods.
    const result = v.safeParse(branch as unknown as v.GenericSchema, value)
    if (!result.success) {
      return result.issues.flatMap((inner) => explainIssue(branch, value, inner, path))
    }
  }
  return [finding(issue, path, schema)]
}

function finding(issue: Issue, path: readonly Segment[], schema: SchemaView | undefined): Finding {
  const kind = kindOf(issue.input)
  const isTypeIssue = issue.kind === 'schema'
  if (hasOwnMessage(issue)) {
    const kinds = schema === undefined ? undefined : kindsOf(schema)
    const isOtherKind = isTypeIssue && kinds !== undefined && !kinds.has(kind)
    return {
      path,
      message: shorten(issue.message) + (isOtherKind ? `, not ${KIND_WORDS[kind]}` : ''),
      hint: unitHint(issue.message, issue.input) ?? choiceHint(issue, schema),
    }
  }
  if (isTypeIssue) {
    const hint = choiceHint(issue, schema)
    return {
      path,
      message: `${expectation(issue, schema)} is expected${received(issue, schema, hint)}`,
      hint,
    }
  }
  return { path, message: requirement(issue) }
}

function hasOwnMessage(issue: Issue): boolean {
  return !issue.message.startsWith('Invalid ')
}

function expectation(issue: Issue, schema: SchemaView | undefined): string {
  const choices = schema === undefined ? [] : choicesOf(schema)
  if (choices.length === 1) return quote(String(choices[0]))
  if (choices.length > 1) return `one of ${listed(choices)}`
  const kinds = schema === undefined ? undefined : kindsOf(schema)
  if (kinds !== undefined && kinds.size > 0) {
    return [...kinds].map((kind) => KIND_WORDS[kind]).join(' or ')
  }
  return KIND_WORDS[issue.type as ValueKind] ?? 'another kind of value'
}

/** What was there instead: its kind, or the text itself when it is a misspelt choice. */
function received(issue: Issue, schema: SchemaView | undefined, hint: string | undefined): string {
  const kind = kindOf(issue.input)
  if (schema !== undefined && kindsOf(schema)?.has(kind) !== true)
    return `, not ${KIND_WORDS[kind]}`
  return hint !== undefined && typeof issue.input === 'string' ? `, not ${quote(issue.input)}` : ''
}

function choicesOf(schema: SchemaView): unknown[] {
  const inner = unwrap(schema)
  if (inner.type === 'picklist') return [...(inner.options ?? [])]
  if (inner.type === 'literal') return [inner.literal]
  const branches = branchesOf(inner)
  if (branches === undefined) return []
  const choices = branches.map(choicesOf)
  return choices.every((some) => some.length > 0) ? choices.flat() : []
}

/** For a misspelt choice: only what is nearly right is repeated, so that nothing private is. */
function choiceHint(issue: Issue, schema: SchemaView | undefined): string | undefined {
  if (schema === undefined || typeof issue.input !== 'string') return undefined
  return suggestion(issue.input, choicesIn(schema))
}

/** All fixed texts that a schema takes, also beside free ones. */
function choicesIn(schema: SchemaView): string[] {
  const inner = unwrap(schema)
  const branches = branchesOf(inner)
  const all = branches === undefined ? choicesOf(inner) : branches.flatMap(choicesIn)
  return all.filter((choice) => typeof choice === 'string')
}

function requirement(issue: Issue): string {
  const limit = String(issue.requirement)
  const isText = kindOf(issue.input) === 'string'
  switch (issue.type) {
    case 'integer':
      return 'a whole number is expected'
    case 'min_value':
    case 'gt_value':
      return `${issue.type === 'min_value' ? `at least ${limit}` : `more than ${limit}`} is expected`
    case 'max_value':
    case 'lt_value':
      return `${issue.type === 'max_value' ? `at most ${limit}` : `less than ${limit}`} is expected`
    case 'min_length':
      return isText
        ? `at least ${limit} characters are expected`
        : `at least ${limit} entries are expected`
    case 'max_length':
      return isText
        ? `at most ${limit} characters are allowed`
        : `at most ${limit} entries are allowed`
    case 'non_empty':
      return 'this cannot be empty'
    case 'url':
      return 'a URL is expected'
    case 'ip':
    case 'ipv4':
    case 'ipv6':
      return 'an IP address is expected'
    default:
      return 'this does not have the expected form'
  }
}

/** The schema at a path, following the branches that the value there is meant for. */
function schemaAt(
  schema: SchemaView,
  root: unknown,
  path: readonly Segment[],
): SchemaView | undefined {
  let current: SchemaView | undefined = schema
  let value = root
  for (const segment of path) {
    current = settle(current, value)
    if (current === undefined) return undefined
    if (current.entries !== undefined) current = current.entries[segment]
    else if (current.type === 'record') current = current.value
    else current = current.item ?? current.items?.[segment as number]
    if (current === undefined) return undefined
    value = value === null || typeof value !== 'object' ? undefined : Reflect.get(value, segment)
  }
  return current === undefined ? undefined : unwrap(current)
}

function settle(schema: SchemaView, value: unknown): SchemaView | undefined {
  let current: SchemaView | undefined = unwrap(schema)
  for (;;) {
    const branches = current === undefined ? undefined : branchesOf(current)
    if (branches === undefined) return current
    const branch = chooseBranch(branches, value)
    current = branch === undefined ? undefined : unwrap(branch)
  }
}

function withoutRepeats(findings: readonly Finding[]): Finding[] {
  const seen = new Set<string>()
  return findings.filter((one) => {
    const key = `${formatPath(one.path)}\0${one.message}`
    return seen.has(key) ? false : seen.add(key)
  })
}

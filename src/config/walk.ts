/**
 * Reads Valibot schemas as data: which keys an object may have, which branch of a union a value is
 * meant for, where a certain schema is used. Valibot validates; this explains, and finds what it lets
 * pass (a list where an object is expected, all unknown keys instead of the first).
 */
import type * as v from 'valibot'
import type { Segment } from './document.ts'

/** What Valibot's schema objects carry, as far as it is read here. */
export interface SchemaView {
  readonly type: string
  readonly message?: unknown
  readonly entries?: Readonly<Record<string, SchemaView>>
  readonly item?: SchemaView
  readonly items?: readonly SchemaView[]
  readonly key?: SchemaView | string
  readonly value?: SchemaView
  readonly wrapped?: SchemaView
  readonly options?: readonly unknown[]
  readonly literal?: unknown
  readonly pipe?: readonly SchemaView[]
  readonly getter?: (input: unknown) => SchemaView
}

export type ValueKind = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object'

export function kindOf(value: unknown): ValueKind {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value as ValueKind
}

/** Schemas are plain objects with the fields above; Valibot's own types hide them behind generics. */
export function viewOf(schema: v.GenericSchema): SchemaView {
  return schema as unknown as SchemaView
}

/** Takes off what only wraps: optional, nullable, lazy. The pipe stays on. */
export function unwrap(schema: SchemaView): SchemaView {
  let current = schema
  for (;;) {
    if (current.wrapped !== undefined) current = current.wrapped
    else if (current.getter !== undefined) current = current.getter(undefined)
    else return current
  }
}

function isObjectType(type: string): boolean {
  return type === 'object' || type.endsWith('_object') || type === 'object_with_rest'
}

/** The options of a union or variant; undefined for any other schema. */
export function branchesOf(schema: SchemaView): readonly SchemaView[] | undefined {
  if (schema.type !== 'union' && schema.type !== 'variant') return undefined
  // Options of unions and variants are schemas; only those of a picklist are values.
  return schema.options as readonly SchemaView[]
}

/** The JSON kinds a schema can take; undefined means any. */
export function kindsOf(schema: SchemaView): ReadonlySet<ValueKind> | undefined {
  const inner = unwrap(schema)
  const branches = branchesOf(inner)
  if (branches !== undefined) {
    const kinds = new Set<ValueKind>()
    for (const branch of branches) {
      const more = kindsOf(branch)
      if (more === undefined) return undefined
      for (const kind of more) kinds.add(kind)
    }
    return kinds
  }
  if (isObjectType(inner.type) || inner.type === 'record') return new Set(['object'])
  switch (inner.type) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'array':
    case 'null':
      return new Set([inner.type])
    case 'tuple':
    case 'strict_tuple':
    case 'loose_tuple':
      return new Set(['array'])
    case 'literal':
      return new Set([kindOf(inner.literal)])
    case 'picklist':
      return new Set((inner.options ?? []).map(kindOf))
    default:
      return undefined
  }
}

/**
 * The branch of a union that a value is meant for: of those that take its JSON kind, the one whose
 * literals (`type: "ip"`) agree, then the one with the fewest unknown and missing keys.
 */
export function chooseBranch(
  branches: readonly SchemaView[],
  value: unknown,
): SchemaView | undefined {
  const kind = kindOf(value)
  let best: SchemaView | undefined
  let bestCost = Number.POSITIVE_INFINITY
  for (const branch of branches) {
    if (kindsOf(branch)?.has(kind) === false) continue
    const cost = misfit(unwrap(branch), value)
    if (cost < bestCost) {
      best = branch
      bestCost = cost
    }
  }
  return best
}

function misfit(schema: SchemaView, value: unknown): number {
  if (schema.type === 'literal') return schema.literal === value ? 0 : 100
  if (schema.type === 'picklist') return schema.options?.includes(value) === true ? 0 : 50
  if (schema.entries === undefined || value === null || typeof value !== 'object') return 10
  let cost = 0
  for (const key of Object.keys(value)) if (!Object.hasOwn(schema.entries, key)) cost += 1
  for (const [key, entry] of Object.entries(schema.entries)) {
    if (!Object.hasOwn(value, key)) {
      if (!isOptional(entry)) cost += 1
      continue
    }
    const inner = unwrap(entry)
    const own: unknown = Reflect.get(value, key)
    if (inner.type === 'literal' && inner.literal !== own) cost += 100
    if (inner.type === 'picklist' && inner.options?.includes(own) !== true) cost += 10
  }
  return cost
}

export function isOptional(schema: SchemaView): boolean {
  return schema.type === 'optional' || schema.type === 'exact_optional' || schema.type === 'nullish'
}

/** A schema met on the way through a value, and what stands there. */
export type Visit = (schema: SchemaView, value: unknown, path: readonly Segment[]) => void

/** Goes through a value along its schema. Unions are left by the branch the value is meant for. */
export function walk(
  schema: SchemaView,
  value: unknown,
  visit: Visit,
  path: readonly Segment[] = [],
): void {
  visit(schema, value, path)
  const inner = unwrap(schema)
  if (inner !== schema) visit(inner, value, path)
  const branches = branchesOf(inner)
  if (branches !== undefined) {
    const branch = chooseBranch(branches, value)
    if (branch !== undefined) walk(branch, value, visit, path)
    return
  }
  if (Array.isArray(value)) {
    const { item, items } = inner
    value.forEach((element, index) => {
      const schemaOfElement = item ?? items?.[index]
      if (schemaOfElement !== undefined) walk(schemaOfElement, element, visit, [...path, index])
    })
    return
  }
  if (value === null || typeof value !== 'object') return
  for (const [key, entry] of Object.entries(value)) {
    const next =
      inner.entries !== undefined
        ? Object.hasOwn(inner.entries, key)
          ? inner.entries[key]
          : undefined
        : inner.type === 'record'
          ? inner.value
          : undefined
    if (next !== undefined) walk(next, entry, visit, [...path, key])
  }
}

/** Whether a schema is `target`, or `target` with more in its pipe (a description, a check). */
export function isBuiltOn(schema: SchemaView, target: SchemaView): boolean {
  if (schema === target) return true
  const first = schema.pipe?.[0]
  return first !== undefined && first !== schema && isBuiltOn(first, target)
}

/** Whether a schema is an object with listed keys, or a record: something that no list may stand for. */
export function takesKeys(schema: SchemaView): boolean {
  return isObjectType(schema.type) || schema.type === 'record'
}

/** What a field is: a name, a type, and where its value comes from. */
import type { Subject } from './subject.ts'
import type { Type, Value } from './types.ts'

export type Reader = (subject: Subject) => Value | undefined
/** What the caller must put on a `Subject` for a field to have its value. */
export type Need = 'body' | 'response' | 'scores'

export interface Field {
  readonly name: string
  readonly type: Type
  readonly read: Reader
  readonly description: string
  /** Where the value comes from; null when there is no source and the default is given. */
  readonly node: string | null
  readonly workers: string | null
  readonly needs?: Need
  /** The name under which the field is known today, for deprecated names. */
  readonly aliasOf?: string
  /** Values and keys never hold upper-case letters: a literal that does is a mistake. */
  readonly isLowerCase?: boolean
  readonly access?: HeaderAccess
}

/** Short ways into maps of headers, for a name that is known when the expression is compiled. */
export interface HeaderAccess {
  all(name: string): Reader
  one(name: string, index: number): Reader
  /** Whether any value of the field passes; makes no array. */
  some(name: string, test: (value: string) => boolean): (subject: Subject) => boolean
}

export interface FieldOptions {
  /** Source on Workers when it is another than on Node. */
  readonly workers?: string
  readonly needs?: Need
  readonly isLowerCase?: boolean
  readonly access?: HeaderAccess
}

export function field(
  name: string,
  type: Type,
  source: string,
  description: string,
  read: Reader,
  options: FieldOptions = {},
): Field {
  return { name, type, read, description, node: source, workers: source, ...options }
}

/** The same field under another name. */
export function alias(name: string, target: Field): Field {
  return { ...target, name, aliasOf: target.name }
}

/** A field of Cloudflare's that nothing here fills, unless the platform does. */
export function unfilled(name: string, type: Type, description: string): Field {
  const fallback = defaultOf(type)
  const read: Reader = (subject) => subject.platform?.get(name) ?? fallback
  return { name, type, read, description, node: null, workers: null }
}

const NOTHING: readonly Value[] = Object.freeze([])
const NO_ENTRIES: ReadonlyMap<string, Value> = new Map()

/** The value of a field without a source: false, 0, the empty string, array or map; missing for addresses. */
export function defaultOf(type: Type): Value | undefined {
  switch (type.kind) {
    case 'bool':
      return false
    case 'int':
      return 0
    case 'bytes':
      return ''
    case 'ip':
      return undefined
    case 'array':
      return NOTHING
    case 'map':
      return NO_ENTRIES
  }
}

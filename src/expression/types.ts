/** The types of the rules language and their values at run time. */
import type { IpAddress } from '../exchange.ts'

/** A type; compare by `name`, which is unique (`Array<String>`). */
export interface Type {
  readonly kind: 'bool' | 'int' | 'bytes' | 'ip' | 'array' | 'map'
  readonly name: string
  /** Of arrays and maps: the type of what they hold. Keys of maps are byte strings. */
  readonly item?: Type
}

export const BOOL: Type = { kind: 'bool', name: 'Boolean' }
/** A 64-bit integer in Cloudflare's language; here every integer up to 2^53 - 1 is exact. */
export const INT: Type = { kind: 'int', name: 'Integer' }
/** Bytes; a JavaScript string with one character (U+0000 to U+00FF) a byte. */
export const BYTES: Type = { kind: 'bytes', name: 'String' }
export const IP: Type = { kind: 'ip', name: 'IP address' }

export function arrayOf(item: Type): Type {
  return { kind: 'array', name: `Array<${item.name}>`, item }
}

export function mapOf(item: Type): Type {
  return { kind: 'map', name: `Map<${item.name}>`, item }
}

export const BOOLS = arrayOf(BOOL)
export const STRINGS = arrayOf(BYTES)
export const INTS = arrayOf(INT)
export const STRING_LISTS = arrayOf(STRINGS)
export const STRING_MAP = mapOf(STRINGS)
export const INT_MAP = mapOf(INTS)

export function sameType(a: Type, b: Type): boolean {
  return a.name === b.name
}

/** A value at run time; a missing value is `undefined` and never inside an array or map. */
export type Value = boolean | number | string | IpAddress | readonly Value[] | ValueMap
export type ValueMap = ReadonlyMap<string, Value>

/** The text of a value for keys and records: like `to_string()`, with items of arrays joined by commas. */
export function textOf(value: Value): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object') return String(value)
  if (isIp(value)) return value.text
  const items = isArray(value) ? value : [...value.values()]
  return items.map(textOf).join(',')
}

export function isArray(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}

function isIp(value: object): value is IpAddress {
  return 'family' in value
}

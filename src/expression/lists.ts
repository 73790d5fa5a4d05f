/** Named lists (`$name`) and inline sets: one question, is this value in it. */
import type { IpAddress } from '../exchange.ts'
import { CidrSet, type IpRange, parseCidr } from '../http/cidr.ts'
import { compareIp, parseIp } from '../http/ip.ts'
import { toBytes } from './bytes.ts'
import { BYTES, INT, IP, type Type } from './types.ts'

export type ListKind = 'ip' | 'number' | 'string'

const TYPES: Readonly<Record<ListKind, Type>> = { ip: IP, number: INT, string: BYTES }

/** An inclusive range of integers. */
export interface IntRange {
  readonly first: number
  readonly last: number
}

/** One question over a fixed set; compiled for the kind of its values. */
export type Membership<T> = (value: T) => boolean

export function stringSet(items: readonly string[]): Membership<string> {
  if (items.length === 1) {
    const only = items[0]
    return (value) => value === only
  }
  const set = new Set(items)
  return (value) => set.has(value)
}

export function ipSet(ranges: readonly IpRange[]): Membership<IpAddress> {
  const set = new CidrSet(ranges)
  return (ip) => set.contains(ip)
}

export function intSet(ranges: readonly IntRange[]): Membership<number> {
  if (ranges.every((range) => range.first === range.last)) {
    const set = new Set(ranges.map((range) => range.first))
    return (value) => set.has(value)
  }
  const firsts: number[] = []
  const lasts: number[] = []
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const end = lasts.length - 1
    if (end >= 0 && first <= (lasts[end] as number) + 1) {
      lasts[end] = Math.max(lasts[end] as number, last)
    } else {
      firsts.push(first)
      lasts.push(last)
    }
  }
  return (value) => {
    let low = 0
    let high = firsts.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      if (value < (firsts[middle] as number)) high = middle - 1
      else if (value > (lasts[middle] as number)) low = middle + 1
      else return true
    }
    return false
  }
}

/**
 * A named list. Expressions keep the list, not its items, so `replace` changes every compiled expression at
 * once: that is how lists are reloaded without compiling rules again.
 */
export class List {
  readonly kind: ListKind
  #has: Membership<never>
  #size: number

  /**
   * @param items addresses, CIDR blocks or `a..b` ranges; numbers or `a..b` ranges; or texts (UTF-8)
   * @throws ListError
   */
  constructor(kind: ListKind, items: readonly (string | number)[]) {
    this.kind = kind
    this.#has = membership(kind, items)
    this.#size = items.length
  }

  get type(): Type {
    return TYPES[this.kind]
  }

  /** Number of items as they were given. */
  get size(): number {
    return this.#size
  }

  /** `value` must be of the list's type; the type checker sees to that. */
  has(value: never): boolean {
    return this.#has(value)
  }

  /** Takes new items, all or none. @throws ListError */
  replace(items: readonly (string | number)[]): void {
    this.#has = membership(this.kind, items)
    this.#size = items.length
  }
}

/** An item cannot be in a list of this kind. */
export class ListError extends Error {
  override readonly name = 'ListError'
  readonly code = 'invalid-list'
  /** Index of the item. */
  readonly index: number
  constructor(index: number, message: string) {
    super(message)
    this.index = index
  }
}

function membership(kind: ListKind, items: readonly (string | number)[]): Membership<never> {
  switch (kind) {
    case 'ip':
      return ipSet(
        items.map(
          (item, i) =>
            parseIpItem(String(item)) ?? refuse(item, i, 'an address, CIDR block or range'),
        ),
      )
    case 'number':
      return intSet(
        items.map((item, i) => parseIntItem(item) ?? refuse(item, i, 'an integer or range')),
      )
    case 'string':
      return stringSet(items.map((item) => toBytes(String(item))))
  }
}

function refuse(item: string | number, index: number, expected: string): never {
  throw new ListError(index, `${JSON.stringify(item)} is not ${expected}`)
}

/** `address`, `address/bits` without host bits, or `first..last` of one family. */
export function parseIpItem(text: string): IpRange | undefined {
  const dots = text.indexOf('..')
  if (dots >= 0) {
    const first = parseIp(text.slice(0, dots))
    const last = parseIp(text.slice(dots + 2))
    if (first === undefined || last === undefined || first.family !== last.family) return undefined
    return compareIp(first, last) <= 0 ? { first, last } : undefined
  }
  if (text.includes('/')) return parseCidr(text)
  const ip = parseIp(text)
  return ip === undefined ? undefined : { first: ip, last: ip }
}

const DECIMAL_RANGE = /^(-?[0-9]+)(?:\.\.(-?[0-9]+))?$/

function parseIntItem(item: string | number): IntRange | undefined {
  if (typeof item === 'number') {
    return Number.isSafeInteger(item) ? { first: item, last: item } : undefined
  }
  const match = DECIMAL_RANGE.exec(item)
  if (match === null) return undefined
  const first = Number(match[1])
  const last = match[2] === undefined ? first : Number(match[2])
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last) || last < first) return undefined
  return { first, last }
}

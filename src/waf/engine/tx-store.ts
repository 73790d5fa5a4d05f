/** TX variables: numbered slots for the names that rules write out, a map for names made at run time. */
import { makeValue, type Value } from './values.ts'

export type TxValue = string | number

/** Names to slots, fixed when the rules are compiled. Slots 0 to 9 are the captures. */
export class TxNames {
  readonly #slots = new Map<string, number>()
  readonly names: string[] = []

  constructor() {
    for (let i = 0; i < 10; i++) this.slot(String(i))
  }

  /** The slot of a name, in any case; made when it is new. */
  slot(name: string): number {
    const lower = name.toLowerCase()
    let slot = this.#slots.get(lower)
    if (slot === undefined) {
      slot = this.names.length
      this.#slots.set(lower, slot)
      this.names.push(lower)
    }
    return slot
  }

  find(lower: string): number | undefined {
    return this.#slots.get(lower)
  }
}

export class TxStore {
  readonly #names: TxNames
  readonly #slots: (TxValue | undefined)[]
  #dynamic: Map<string, TxValue> | undefined

  constructor(names: TxNames, initial: readonly (TxValue | undefined)[]) {
    this.#names = names
    this.#slots = initial.slice()
  }

  get(slot: number): TxValue | undefined {
    return this.#slots[slot]
  }

  text(slot: number): string {
    const value = this.#slots[slot]
    return value === undefined ? '' : typeof value === 'string' ? value : String(value)
  }

  set(slot: number, value: TxValue | undefined): void {
    this.#slots[slot] = value
  }

  add(slot: number, amount: number): void {
    this.#slots[slot] = integer(this.#slots[slot]) + amount
  }

  getNamed(name: string): TxValue | undefined {
    const lower = name.toLowerCase()
    const slot = this.#names.find(lower)
    return slot === undefined ? this.#dynamic?.get(lower) : this.#slots[slot]
  }

  setNamed(name: string, value: TxValue | undefined): void {
    const lower = name.toLowerCase()
    const slot = this.#names.find(lower)
    if (slot !== undefined) {
      this.#slots[slot] = value
      return
    }
    if (value === undefined) this.#dynamic?.delete(lower)
    else {
      this.#dynamic ??= new Map()
      this.#dynamic.set(lower, value)
    }
  }

  /** One member as a value; undefined when it is not set. */
  member(key: string): Value | undefined {
    const value = this.getNamed(key)
    return value === undefined ? undefined : makeValue('TX', key, String(value))
  }

  /** Members whose names are accepted, those with slots first. */
  members(accepts: (name: string) => boolean): Value[] {
    const values: Value[] = []
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const value = this.#slots[slot]
      if (value === undefined) continue
      const name = this.#names.names[slot] as string
      if (accepts(name)) values.push(makeValue('TX', name, String(value)))
    }
    for (const [name, value] of this.#dynamic ?? []) {
      if (accepts(name)) values.push(makeValue('TX', name, String(value)))
    }
    return values
  }
}

export function integer(value: TxValue | undefined): number {
  if (typeof value === 'number') return value
  const number = Number.parseInt(value ?? '', 10)
  return Number.isNaN(number) ? 0 : number
}

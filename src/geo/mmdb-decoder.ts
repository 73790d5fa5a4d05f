/**
 * Values of a MaxMind DB data section (MaxMind DB File Format Specification 2.0, "Output Data Section").
 * Every read is checked against the section's bounds, nesting and work are limited, and a projection says
 * which keys are wanted, so that names in eight languages are stepped over and not built.
 */

export type MmdbValue =
  | string
  | number
  | boolean
  | Uint8Array
  | readonly MmdbValue[]
  | { readonly [key: string]: MmdbValue }

/** Which parts of a value to build: all of it, or of a map the named keys (of a list, in each element). */
export type Projection = true | { readonly [key: string]: Projection }

/** The file does not follow the format. */
export class MmdbError extends Error {
  override readonly name = 'MmdbError'
}

const POINTER = 1
const STRING = 2
const DOUBLE = 3
const BYTES = 4
const UINT16 = 5
const UINT32 = 6
const MAP = 7
const INT32 = 8
const UINT64 = 9
const UINT128 = 10
const ARRAY = 11
const BOOLEAN = 14
const FLOAT = 15

/** Deepest nesting of maps, lists and pointers; real records have at most four. */
const MAX_DEPTH = 16
/** Most fields in one record: a crafted file may point in circles, each turn costing one. */
const MAX_FIELDS = 20_000

const utf8 = new TextDecoder('utf-8', { fatal: true })

export class MmdbDecoder {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #start: number
  readonly #end: number
  #position = 0
  #fields = 0

  /** @param start where pointers count from; @param end first byte that is no longer data */
  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#start = start
    this.#end = end
  }

  /**
   * @param offset from the start of the data section
   * @throws MmdbError when the bytes there are no well-formed value
   */
  decode(offset: number, wanted: Projection = true): MmdbValue {
    this.#fields = 0
    this.#position = this.#absolute(offset)
    return this.#value(wanted, 0)
  }

  #absolute(offset: number): number {
    const position = this.#start + offset
    if (offset < 0 || position >= this.#end)
      throw new MmdbError('a pointer leaves the data section')
    return position
  }

  /** Moves past `count` bytes and answers where they began. */
  #take(count: number): number {
    const at = this.#position
    if (at + count > this.#end)
      throw new MmdbError('a value is cut off by the end of the data section')
    this.#position = at + count
    return at
  }

  #byte(): number {
    return this.#bytes[this.#take(1)] as number
  }

  #unsigned(size: number): number {
    const at = this.#take(size)
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + (this.#bytes[at + i] as number)
    return value
  }

  #value(wanted: Projection, depth: number): MmdbValue {
    if (depth > MAX_DEPTH) throw new MmdbError('a record is nested too deeply')
    if (++this.#fields > MAX_FIELDS) throw new MmdbError('a record has too many fields')
    const control = this.#byte()
    const type = control >>> 5
    if (type === POINTER) {
      const target = this.#pointer(control)
      const resume = this.#position
      this.#position = target
      const value = this.#value(wanted, depth + 1)
      this.#position = resume
      return value
    }
    return this.#plain(type === 0 ? this.#byte() + 7 : type, control, wanted, depth)
  }

  #plain(type: number, control: number, wanted: Projection, depth: number): MmdbValue {
    const size = this.#size(control & 31)
    switch (type) {
      case STRING:
        return this.#string(size)
      case UINT16:
        return this.#number(size, 2)
      case UINT32:
        return this.#number(size, 4)
      case UINT64:
        return this.#number(size, 8)
      case UINT128:
        return this.#number(size, 16)
      case INT32:
        return this.#number(size, 4) | 0
      case MAP:
        return this.#map(size, wanted, depth)
      case ARRAY:
        return this.#array(size, wanted, depth)
      case BOOLEAN:
        if (size > 1) throw new MmdbError('a boolean is neither 0 nor 1')
        return size === 1
      case DOUBLE:
        if (size !== 8) throw new MmdbError('a double has not 8 bytes')
        return this.#view.getFloat64(this.#take(8))
      case FLOAT:
        if (size !== 4) throw new MmdbError('a float has not 4 bytes')
        return this.#view.getFloat32(this.#take(4))
      case BYTES: {
        const at = this.#take(size)
        return this.#bytes.slice(at, at + size)
      }
      default:
        throw new MmdbError(`unknown data type ${type}`)
    }
  }

  #size(short: number): number {
    if (short < 29) return short
    if (short === 29) return 29 + this.#byte()
    if (short === 30) return 285 + this.#unsigned(2)
    return 65_821 + this.#unsigned(3)
  }

  #pointer(control: number): number {
    const high = control & 7
    switch ((control >>> 3) & 3) {
      case 0:
        return this.#absolute(high * 256 + this.#byte())
      case 1:
        return this.#absolute(high * 65_536 + this.#unsigned(2) + 2048)
      case 2:
        return this.#absolute(high * 16_777_216 + this.#unsigned(3) + 526_336)
      default:
        return this.#absolute(this.#unsigned(4))
    }
  }

  #number(size: number, most: number): number {
    if (size > most) throw new MmdbError(`an integer of ${most} bytes has ${size}`)
    return this.#unsigned(size)
  }

  #string(size: number): string {
    const at = this.#take(size)
    if (size > 24) return this.#utf8(at, size)
    let text = ''
    for (let i = at; i < at + size; i++) {
      const code = this.#bytes[i] as number
      if (code > 127) return this.#utf8(at, size)
      text += String.fromCharCode(code)
    }
    return text
  }

  #utf8(at: number, size: number): string {
    try {
      return utf8.decode(this.#bytes.subarray(at, at + size))
    } catch (cause) {
      throw new MmdbError('a string is not UTF-8', { cause })
    }
  }

  #map(size: number, wanted: Projection, depth: number): MmdbValue {
    const map: Record<string, MmdbValue> = Object.create(null)
    for (let i = 0; i < size; i++) {
      const key = this.#value(true, depth + 1)
      if (typeof key !== 'string') throw new MmdbError('a key is not a string')
      const inner = wanted === true ? true : wanted[key]
      if (inner === undefined) this.#skip(depth + 1)
      else map[key] = this.#value(inner, depth + 1)
    }
    return map
  }

  #array(size: number, wanted: Projection, depth: number): MmdbValue {
    const list: MmdbValue[] = []
    for (let i = 0; i < size; i++) list.push(this.#value(wanted, depth + 1))
    return list
  }

  /** Steps over a value without following its pointers. */
  #skip(depth: number): void {
    if (depth > MAX_DEPTH) throw new MmdbError('a record is nested too deeply')
    if (++this.#fields > MAX_FIELDS) throw new MmdbError('a record has too many fields')
    const control = this.#byte()
    let type = control >>> 5
    if (type === POINTER) {
      this.#pointer(control)
      return
    }
    if (type === 0) type = this.#byte() + 7
    const size = this.#size(control & 31)
    if (type === MAP || type === ARRAY) {
      for (let i = type === MAP ? size * 2 : size; i > 0; i--) this.#skip(depth + 1)
    } else if (type !== BOOLEAN) {
      this.#take(size)
    }
  }
}

/**
 * Reader of MaxMind DB files (format specification 2.0) over plain bytes, for the request's hot path:
 * a jump table replaces the first 16 steps of the tree, the answer is the number of a record, and what
 * the record says is decoded by whoever keeps it. Works where there is no Buffer. Opening is strict:
 * every node of the tree is checked, so that a lookup cannot leave the file, loop or throw.
 */
import type { IpAddress } from '../exchange.ts'
import { MmdbDecoder, MmdbError, type MmdbValue, type Projection } from './mmdb-decoder.ts'

export { MmdbError, type MmdbValue, type Projection } from './mmdb-decoder.ts'

export interface MmdbMetadata {
  readonly databaseType: string
  readonly ipVersion: 4 | 6
  /** Bits a record: 24, 28 or 32. */
  readonly recordSize: number
  readonly nodeCount: number
  /** Milliseconds since the epoch. */
  readonly builtAt: number
}

/** No record: the address is in no network of the database. */
export const NO_RECORD = -1

/** "\xab\xcd\xefMaxMind.com", after which the metadata begins. */
const MARKER = [0xab, 0xcd, 0xef, 0x4d, 0x61, 0x78, 0x4d, 0x69, 0x6e, 0x64, 0x2e, 0x63, 0x6f, 0x6d]
/** The metadata is at most this many bytes, so the marker begins within them. */
const METADATA_LIMIT = 128 * 1024
/** Zero bytes between tree and data. */
const SEPARATOR = 16

export class Mmdb {
  readonly metadata: MmdbMetadata
  readonly sizeBytes: number
  readonly #bytes: Uint8Array
  readonly #decoder: MmdbDecoder
  readonly #nodeCount: number
  readonly #nodeBytes: number
  readonly #recordSize: number
  /** Node or leaf after the first 16 bits, by those bits; leaves are already records. */
  readonly #jump4: Int32Array
  readonly #jump6: Int32Array | undefined

  /** @throws MmdbError saying what is wrong, in words for the owner of the file */
  constructor(bytes: Uint8Array) {
    refuseOtherFormats(bytes)
    const metadataStart = findMetadata(bytes)
    this.metadata = readMetadata(bytes, metadataStart)
    this.sizeBytes = bytes.byteLength
    this.#bytes = bytes
    this.#nodeCount = this.metadata.nodeCount
    this.#recordSize = this.metadata.recordSize
    this.#nodeBytes = this.#recordSize / 4
    const treeBytes = this.#nodeCount * this.#nodeBytes
    const dataEnd = metadataStart - MARKER.length
    const dataStart = treeBytes + SEPARATOR
    if (dataStart >= dataEnd) {
      throw new MmdbError(
        `the tree of ${this.#nodeCount} nodes does not fit into the file: it is truncated or damaged`,
      )
    }
    for (let i = treeBytes; i < dataStart; i++) {
      if (bytes[i] !== 0)
        throw new MmdbError('tree and data are not separated by zeros: the file is damaged')
    }
    this.#checkTree(dataEnd - dataStart)
    this.#decoder = new MmdbDecoder(bytes, dataStart, dataEnd)
    this.#jump4 = new Int32Array(65_536)
    const root4 = this.metadata.ipVersion === 4 ? 0 : this.#descendZeros(96)
    this.#fillJump(this.#jump4, root4, 0, 0)
    if (this.metadata.ipVersion === 6) {
      this.#jump6 = new Int32Array(65_536)
      this.#fillJump(this.#jump6, 0, 0, 0)
    }
  }

  /**
   * The record of an address as an offset into the data section, or `NO_RECORD`. An IPv6 address in a
   * database that has only IPv4 has no record: walking it there would answer with some IPv4 network's.
   */
  find(ip: IpAddress): number {
    const words = ip.words
    if (ip.family === 4) {
      const word = words[0] as number
      const node = this.#jump4[word >>> 16] as number
      return node < 0 ? ~node - 1 : this.#walk(node, word << 16, 16)
    }
    if (this.#jump6 === undefined) return NO_RECORD
    let node = this.#jump6[(words[0] as number) >>> 16] as number
    if (node < 0) return ~node - 1
    // Leaves come back from #step as records below zero, so that one number says both.
    let bits = (words[0] as number) << 16
    let left = 16
    for (let i = 1; ; i++) {
      for (; left > 0; left--, bits <<= 1) {
        node = this.#step(node, bits >>> 31)
        if (node < 0) return ~node - 1
      }
      if (i === 4) return NO_RECORD
      bits = words[i] as number
      left = 32
    }
  }

  /** What a record says. @throws MmdbError when its bytes are damaged */
  decode(record: number, wanted: Projection = true): MmdbValue {
    return this.#decoder.decode(record, wanted)
  }

  /** The different records of the whole database, in the order of the tree, at most `limit`. */
  records(limit = Number.POSITIVE_INFINITY): number[] {
    const seen = new Set<number>()
    for (let node = 0; node < this.#nodeCount && seen.size < limit; node++) {
      for (let side = 0; side < 2; side++) {
        const next = this.#step(node, side)
        if (next < -1) seen.add(~next - 1)
      }
    }
    return [...seen]
  }

  /** Every network that has a record, with its prefix length, in the order of addresses. */
  forEachNetwork(visit: (record: number, bits: number) => void): void {
    const descend = (node: number, depth: number): void => {
      for (let side = 0; side < 2; side++) {
        const next = this.#step(node, side)
        if (next < -1) visit(~next - 1, depth + 1)
        else if (next >= 0 && depth < 127) descend(next, depth + 1)
      }
    }
    descend(0, 0)
  }

  #walk(from: number, from32: number, count: number): number {
    let node = from
    let bits = from32
    for (let left = count; left > 0; left--, bits <<= 1) {
      node = this.#step(node, bits >>> 31)
      if (node < 0) return ~node - 1
    }
    return NO_RECORD
  }

  /** The next node (0 or more), -1 for no record, or `~(record + 1)`. */
  #step(node: number, side: number): number {
    const value = this.#record(node, side)
    if (value < this.#nodeCount) return value
    if (value === this.#nodeCount) return -1
    return ~(value - this.#nodeCount - SEPARATOR + 1)
  }

  /** One half of a node, as it is in the file. */
  #record(node: number, side: number): number {
    const bytes = this.#bytes
    const at = node * this.#nodeBytes
    switch (this.#recordSize) {
      case 24: {
        const i = at + side * 3
        return (
          ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number)
        )
      }
      case 28: {
        const middle = bytes[at + 3] as number
        const high = side === 0 ? middle >>> 4 : middle & 15
        const i = at + side * 4
        return (
          (high << 24) |
          ((bytes[i] as number) << 16) |
          ((bytes[i + 1] as number) << 8) |
          (bytes[i + 2] as number)
        )
      }
      default: {
        const i = at + side * 4
        return (
          (bytes[i] as number) * 16_777_216 +
          (((bytes[i + 1] as number) << 16) |
            ((bytes[i + 2] as number) << 8) |
            (bytes[i + 3] as number))
        )
      }
    }
  }

  /** Every half of every node is a node, "nothing", or points into the data. */
  #checkTree(dataBytes: number): void {
    const first = this.#nodeCount + SEPARATOR
    const last = first + dataBytes
    if (last > 0x7fffffff)
      throw new MmdbError('the file is too large: at most 2 GiB can be addressed')
    for (let node = 0; node < this.#nodeCount; node++) {
      for (let side = 0; side < 2; side++) {
        const value = this.#record(node, side)
        if (value > this.#nodeCount && (value < first || value >= last)) {
          throw new MmdbError(`node ${node} of the tree points outside the file: it is damaged`)
        }
      }
    }
  }

  #descendZeros(count: number): number {
    let node = 0
    for (let i = 0; i < count && node >= 0; i++) node = this.#step(node, 0)
    return node
  }

  #fillJump(table: Int32Array, node: number, prefix: number, depth: number): void {
    if (node < 0 || depth === 16) {
      const from = prefix << (16 - depth)
      table.fill(node, from, from + (1 << (16 - depth)))
      return
    }
    this.#fillJump(table, this.#step(node, 0), prefix << 1, depth + 1)
    this.#fillJump(table, this.#step(node, 1), (prefix << 1) | 1, depth + 1)
  }
}

/** Names the usual mistakes: an empty or still compressed download, a web page in place of the file. */
function refuseOtherFormats(bytes: Uint8Array): void {
  if (bytes.byteLength === 0) throw new MmdbError('the file is empty')
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    throw new MmdbError('the file is compressed with gzip: unpack it first')
  }
  if (bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4) {
    throw new MmdbError('the file is a zip archive: unpack it first')
  }
  if (bytes[0] === 0x3c) throw new MmdbError('the file is a web page, not a database')
}

/** Where the metadata begins: behind the last marker. */
function findMetadata(bytes: Uint8Array): number {
  const lowest = Math.max(0, bytes.byteLength - METADATA_LIMIT - MARKER.length)
  for (let at = bytes.byteLength - MARKER.length; at >= lowest; at--) {
    let i = 0
    while (i < MARKER.length && bytes[at + i] === MARKER[i]) i++
    if (i === MARKER.length) return at + i
  }
  throw new MmdbError(
    'no MaxMind DB metadata at the end of the file: it is truncated or no MaxMind DB',
  )
}

function readMetadata(bytes: Uint8Array, start: number): MmdbMetadata {
  if (start >= bytes.byteLength)
    throw new MmdbError('the metadata is missing: the file is truncated')
  const value = new MmdbDecoder(bytes, start, bytes.byteLength).decode(0)
  if (typeof value !== 'object' || value instanceof Uint8Array || Array.isArray(value)) {
    throw new MmdbError('the metadata is not a map')
  }
  const map = value as { readonly [key: string]: MmdbValue } // the only object left after the checks
  const number = (key: string): number => {
    const found = map[key]
    if (typeof found !== 'number') throw new MmdbError(`the metadata has no number "${key}"`)
    return found
  }
  const major = number('binary_format_major_version')
  if (major !== 2) throw new MmdbError(`format version ${major} is not supported, only 2`)
  const ipVersion = number('ip_version')
  if (ipVersion !== 4 && ipVersion !== 6)
    throw new MmdbError(`ip_version ${ipVersion} is neither 4 nor 6`)
  const recordSize = number('record_size')
  if (recordSize !== 24 && recordSize !== 28 && recordSize !== 32) {
    throw new MmdbError(`record_size ${recordSize} is not supported, only 24, 28 and 32`)
  }
  const nodeCount = number('node_count')
  if (nodeCount < 1) throw new MmdbError('the tree is empty')
  const type = map.database_type
  if (typeof type !== 'string') throw new MmdbError('the metadata has no text "database_type"')
  const built = map.build_epoch
  return {
    databaseType: type,
    ipVersion,
    recordSize,
    nodeCount,
    builtAt: typeof built === 'number' ? built * 1000 : 0,
  }
}

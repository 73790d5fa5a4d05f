/** Writes small MaxMind DB files for tests: every record size, either IP version, any record. */
import { parseCidr } from '../http/cidr.ts'
import type { MmdbValue } from './mmdb-decoder.ts'

export interface FixtureNetwork {
  readonly cidr: string
  readonly record: MmdbValue
}

export interface FixtureOptions {
  readonly ipVersion?: 4 | 6
  readonly recordSize?: 24 | 28 | 32
  /** Seconds since the epoch. */
  readonly buildEpoch?: number
}

type Node = [Side, Side]
type Side = Node | { readonly data: number } | null

export function buildMmdb(
  networks: readonly FixtureNetwork[],
  options: FixtureOptions = {},
): Uint8Array {
  const ipVersion = options.ipVersion ?? 6
  const recordSize = options.recordSize ?? 24
  const root: Node = [null, null]
  const data: number[] = []
  for (const network of networks) {
    const at = data.length
    encode(network.record, data)
    insert(root, bitsOf(network.cidr, ipVersion), at)
  }
  const nodes: Node[] = []
  const indexes = new Map<Node, number>()
  const number = (node: Node): void => {
    indexes.set(node, nodes.length)
    nodes.push(node)
    for (const side of node) if (Array.isArray(side)) number(side)
  }
  number(root)
  const value = (side: Side): number => {
    if (side === null) return nodes.length
    return Array.isArray(side) ? indexes.get(side)! : nodes.length + 16 + side.data
  }
  const bytes: number[] = []
  for (const [left, right] of nodes) writeNode(bytes, value(left), value(right), recordSize)
  bytes.push(...new Array<number>(16).fill(0), ...data)
  bytes.push(0xab, 0xcd, 0xef, ...new TextEncoder().encode('MaxMind.com'))
  encode(
    {
      node_count: nodes.length,
      record_size: recordSize,
      ip_version: ipVersion,
      database_type: 'Test',
      languages: [],
      binary_format_major_version: 2,
      binary_format_minor_version: 0,
      build_epoch: options.buildEpoch ?? 1_780_000_000,
      description: {},
    },
    bytes,
  )
  return Uint8Array.from(bytes)
}

/** The prefix as bits; IPv4 lies under ::/96 in an IPv6 tree. */
function bitsOf(cidr: string, ipVersion: 4 | 6): number[] {
  const range = parseCidr(cidr)!
  const bits: number[] = range.first.family === 4 && ipVersion === 6 ? new Array(96).fill(0) : []
  for (const word of range.first.words) {
    for (let i = 31; i >= 0; i--) bits.push((word >>> i) & 1)
  }
  const hostBits = (range.first.family === 4 ? 32 : 128) - Number(cidr.split('/')[1] ?? bits.length)
  return bits.slice(0, bits.length - Math.max(0, hostBits))
}

/** A later network inside an earlier one splits it, as the format's writers do. */
function insert(root: Node, bits: readonly number[], data: number): void {
  let node = root
  for (const bit of bits.slice(0, -1)) {
    let next = node[bit] as Side
    if (!Array.isArray(next)) {
      next = [next, next]
      node[bit as 0 | 1] = next
    }
    node = next
  }
  node[bits.at(-1) as 0 | 1] = { data }
}

function writeNode(bytes: number[], left: number, right: number, recordSize: number): void {
  const part = (value: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** (count - 1 - i)) % 256)
  if (recordSize === 24) bytes.push(...part(left, 3), ...part(right, 3))
  else if (recordSize === 32) bytes.push(...part(left, 4), ...part(right, 4))
  else bytes.push(...part(left, 3), ((left >>> 24) << 4) | (right >>> 24), ...part(right, 3))
}

function encode(value: MmdbValue, out: number[]): void {
  if (typeof value === 'string') {
    const text = new TextEncoder().encode(value)
    control(2, text.length, out)
    out.push(...text)
  } else if (typeof value === 'boolean') {
    control(14, value ? 1 : 0, out)
  } else if (typeof value === 'number') {
    encodeNumber(value, out)
  } else if (value instanceof Uint8Array) {
    control(4, value.length, out)
    out.push(...value)
  } else if (Array.isArray(value)) {
    control(11, value.length, out)
    for (const item of value) encode(item, out)
  } else {
    const entries = Object.entries(value)
    control(7, entries.length, out)
    for (const [key, item] of entries) {
      encode(key, out)
      encode(item, out)
    }
  }
}

function encodeNumber(value: number, out: number[]): void {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) {
    const bytes = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255)
    while (bytes[0] === 0) bytes.shift()
    control(6, bytes.length, out)
    out.push(...bytes)
    return
  }
  control(3, 8, out)
  out.push(...new Uint8Array(new Float64Array([value]).buffer).reverse())
}

function control(type: number, size: number, out: number[]): void {
  const head = type > 7 ? 0 : type << 5
  const extended = type > 7 ? [type - 7] : []
  if (size < 29) out.push(head | size, ...extended)
  else if (size < 285) out.push(head | 29, ...extended, size - 29)
  else out.push(head | 30, ...extended, (size - 285) >>> 8, (size - 285) & 255)
}

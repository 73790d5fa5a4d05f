/** All variants of one key as bytes: the length of a head, the head as JSON, then the bodies. */
import {
  recordOf,
  revive,
  type StoredRecord,
  type StoredResponse,
} from '../../cache/policy/stored-response.ts'
import type { Clock } from '../../ports.ts'

type Header = StoredRecord & { readonly bodyLength: number }

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Those, in their order, whose bodies fit together into so many bytes. */
export function fitting(responses: readonly StoredResponse[], maxBytes: number): StoredResponse[] {
  let size = 0
  return responses.filter(({ body }) => {
    const length = body?.byteLength ?? 0
    if (size + length > maxBytes) return false
    size += length
    return true
  })
}

/** @param room bytes to leave free in front */
export function pack(responses: readonly StoredResponse[], room = 0): Uint8Array<ArrayBuffer> {
  let size = 0
  const headers: Header[] = responses.map((response) => {
    size += response.body?.byteLength ?? 0
    return { ...recordOf(response), bodyLength: response.body?.byteLength ?? -1 }
  })
  const head = encoder.encode(JSON.stringify(headers))
  const whole = new Uint8Array(room + 4 + head.byteLength + size)
  new DataView(whole.buffer).setUint32(room, head.byteLength)
  whole.set(head, room + 4)
  let at = room + 4 + head.byteLength
  for (const { body } of responses) {
    if (body === null) continue
    whole.set(body, at)
    at += body.byteLength
  }
  return whole
}

/** @throws an error of any kind for bytes that are not the variants of `key` */
export function unpack(bytes: Uint8Array, key: string, clock: Clock): StoredResponse[] {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const headers = JSON.parse(decoder.decode(bytes.subarray(4, 4 + length))) as Header[]
  const responses: StoredResponse[] = []
  let at = 4 + length
  for (const { bodyLength, ...record } of headers) {
    const end = at + Math.max(0, bodyLength)
    if (record.key !== key || end > bytes.byteLength) throw new Error('not what was written')
    // A slice of its own, or one variant would keep all of them in memory.
    const body = bodyLength < 0 ? null : bytes.slice(at, end)
    at = end
    responses.push(revive(record, { body, source: undefined }, clock))
  }
  return responses
}

/** Whether `other` is the variant that `one` is, or an older copy of it. */
export function isSame(one: StoredResponse, other: StoredResponse | undefined): boolean {
  return other !== undefined && one.signature === other.signature && one.stamp <= other.stamp
}

/** Content codings through DecompressionStream, up to a size: a bomb costs no more than what is wanted of it. */
import type { DecodedBytes, Decoder } from '../../ports.ts'
import { concat } from './streams.ts'

type Format = 'gzip' | 'deflate' | 'deflate-raw'

/** Input is fed in pieces of this many bytes, so that what a bomb has consumed is known. */
const PIECE = 1024

export const webDecoder: Decoder = {
  decode(coding, bytes, most) {
    const format = formatOf(coding, bytes)
    return format === undefined || typeof DecompressionStream === 'undefined'
      ? undefined
      : run(format, bytes, most)
  },
}

function formatOf(coding: string, bytes: Uint8Array): Format | undefined {
  if (coding === 'gzip' || coding === 'x-gzip') return 'gzip'
  // RFC 9110 §8.4.1.2 means zlib's format; senders of the bare one are common, and origins take both.
  if (coding === 'deflate') return (bytes[0] ?? 0) % 16 === 8 ? 'deflate' : 'deflate-raw'
  return undefined
}

async function run(format: Format, bytes: Uint8Array, most: number): Promise<DecodedBytes> {
  const { readable, writable } = new DecompressionStream(format)
  const writer = writable.getWriter()
  const reader = readable.getReader()
  let consumed = 0
  const feed = async (): Promise<void> => {
    while (consumed < bytes.length) {
      const piece = bytes.slice(consumed, consumed + PIECE)
      await writer.write(piece)
      consumed += piece.byteLength
    }
    await writer.close()
  }
  // What goes wrong is seen by whoever reads.
  const feeding = feed().catch(() => {})
  const pieces: Uint8Array[] = []
  let size = 0
  let end: DecodedBytes['end'] = 'complete'
  try {
    for (;;) {
      const piece = await reader.read()
      if (piece.done) break
      pieces.push(piece.value)
      size += piece.value.byteLength
      if (size < most) continue
      end = 'full'
      break
    }
  } catch {
    end = consumed >= bytes.length && isStart(format, bytes) ? 'cut' : 'broken'
  }
  if (end === 'full') {
    reader.cancel().catch(() => {})
    writer.abort().catch(() => {})
  } else {
    await feeding
  }
  const whole = concat(pieces, size)
  return { bytes: whole.length > most ? whole.subarray(0, most) : whole, consumed, end }
}

/** Whether the bytes begin as the format does; one that ends early is then cut, and not something else. */
function isStart(format: Format, bytes: Uint8Array): boolean {
  return format !== 'gzip' || (bytes[0] === 0x1f && bytes[1] === 0x8b)
}

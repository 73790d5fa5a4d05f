/** Content codings through node:zlib, up to a size: a bomb costs no more than what is wanted of it. */
import {
  type BrotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  type Gunzip,
  type Inflate,
  type InflateRaw,
} from 'node:zlib'
import type { DecodedBytes, Decoder } from '../../ports.ts'

type Engine = Gunzip | Inflate | InflateRaw | BrotliDecompress

/** Input is fed in pieces of this many bytes, so that what a bomb has consumed is known. */
const PIECE = 1024
const OUTPUT_CHUNK = { chunkSize: 16 * 1024 }

function engineFor(coding: string, bytes: Uint8Array): Engine | undefined {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip(OUTPUT_CHUNK)
    case 'deflate':
      // RFC 9110 §8.4.1.2 means zlib's format; senders of the bare one are common, and origins take both.
      return (bytes[0] ?? 0) % 16 === 8
        ? createInflate(OUTPUT_CHUNK)
        : createInflateRaw(OUTPUT_CHUNK)
    case 'br':
      return createBrotliDecompress(OUTPUT_CHUNK)
    default:
      return undefined
  }
}

export const nodeDecoder: Decoder = {
  decode(coding, bytes, most) {
    const engine = engineFor(coding, bytes)
    return engine === undefined ? undefined : run(engine, bytes, most)
  },
}

function run(engine: Engine, bytes: Uint8Array, most: number): Promise<DecodedBytes> {
  return new Promise((resolve) => {
    const pieces: Uint8Array[] = []
    let size = 0
    let fed = 0
    let isOver = false
    const finish = (end: DecodedBytes['end']): void => {
      if (isOver) return
      isOver = true
      engine.destroy()
      resolve({ bytes: joined(pieces, Math.min(size, most)), consumed: fed, end })
    }
    const feed = (): void => {
      if (isOver) return
      if (fed >= bytes.length) {
        engine.end()
        return
      }
      const piece = bytes.subarray(fed, fed + PIECE)
      fed += piece.length
      engine.write(piece, feed)
    }
    engine.on('data', (chunk: Uint8Array) => {
      pieces.push(chunk)
      size += chunk.length
      if (size > most) finish('full')
    })
    engine.on('end', () => finish('complete'))
    engine.on('error', (error: NodeJS.ErrnoException) =>
      finish(error.code === 'Z_BUF_ERROR' ? 'cut' : 'broken'),
    )
    feed()
  })
}

function joined(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    const part = piece.subarray(0, size - at)
    all.set(part, at)
    at += part.length
  }
  return all
}

/**
 * The file format of the cache on disk: frames of 64 KiB, each with its own checksum, or sealed with
 * AES-256-GCM, so that a range can be read without the rest and a damaged or half-written file is noticed
 * at the frame that is read.
 *
 * File: magic (4) · file id (16) · size of preamble and header (4) · header frame · body frames.
 * Frame: length (4) · payload · CRC-32 (4), or nonce (12) · length (4) · ciphertext · tag (16).
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'

const MAGIC = Buffer.from('MRD1')
/** Payload of every frame of a body but its last. */
export const FRAME = 65_536
const PREAMBLE = 24

export interface OpenFile {
  readonly id: Buffer
  readonly header: Buffer
  /** Where the body's frames begin. */
  readonly bodyAt: number
}

/** Frames: checksummed, or sealed with the file's id and the frame's place in it. */
export class Frames {
  readonly #key: Uint8Array | undefined
  readonly #overhead: number

  constructor(key: Uint8Array | undefined) {
    this.#key = key
    this.#overhead = key === undefined ? 8 : 32
  }

  /** Bytes on disk for a body of this length. */
  sizeOf(length: number): number {
    return length + Math.ceil(length / FRAME) * this.#overhead
  }

  seal(payload: Uint8Array, id: Buffer, index: number): Buffer {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(payload.byteLength)
    if (this.#key === undefined) {
      const sum = Buffer.alloc(4)
      sum.writeUInt32BE(crc32(payload, crc32(placeOf(id, index))))
      return Buffer.concat([length, payload, sum])
    }
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    cipher.setAAD(Buffer.concat([placeOf(id, index), length]))
    const sealed = Buffer.concat([cipher.update(payload), cipher.final()])
    return Buffer.concat([nonce, length, sealed, cipher.getAuthTag()])
  }

  /** @throws when the frame is not what was written at this place of this file */
  unseal(frame: Buffer, id: Buffer, index: number): Buffer {
    if (this.#key === undefined) {
      const payload = frame.subarray(4, 4 + frame.readUInt32BE(0))
      const sum = frame.readUInt32BE(4 + payload.byteLength)
      if (crc32(payload, crc32(placeOf(id, index))) !== sum) throw new Error('checksum')
      return payload
    }
    const length = frame.readUInt32BE(12)
    const decipher = createDecipheriv('aes-256-gcm', this.#key, frame.subarray(0, 12))
    decipher.setAAD(Buffer.concat([placeOf(id, index), frame.subarray(12, 16)]))
    decipher.setAuthTag(frame.subarray(16 + length, 32 + length))
    return Buffer.concat([decipher.update(frame.subarray(16, 16 + length)), decipher.final()])
  }

  /** As `unseal`, of a frame that is all there is. @throws also when something follows it */
  unsealWhole(frame: Buffer, id: Buffer, index: number): Buffer {
    const payload = this.unseal(frame, id, index)
    if (frame.byteLength !== payload.byteLength + this.#overhead) throw new Error('length')
    return payload
  }

  /**
   * Preamble and sealed header, padded to whole 4 KiB so that a later one can take its place.
   * @param place size to fit into; undefined when the new header is too long for it
   */
  header(id: Buffer, header: Buffer, place?: number): Buffer | undefined {
    const frame = this.seal(header, id, -1)
    const size = place ?? Math.ceil((PREAMBLE + frame.byteLength + 512) / 4096) * 4096
    if (PREAMBLE + frame.byteLength > size) return undefined
    const whole = Buffer.alloc(size)
    MAGIC.copy(whole, 0)
    id.copy(whole, 4)
    whole.writeUInt32BE(size, 20)
    frame.copy(whole, PREAMBLE)
    return whole
  }

  async openFile(handle: FileHandle): Promise<OpenFile> {
    const preamble = await readExactly(handle, 0, PREAMBLE)
    const bodyAt = preamble.readUInt32BE(20)
    if (!preamble.subarray(0, 4).equals(MAGIC) || bodyAt > 4 * 1024 ** 2) throw new Error('magic')
    const id = Buffer.from(preamble.subarray(4, 20))
    const frame = await readExactly(handle, PREAMBLE, bodyAt - PREAMBLE)
    return { id, header: this.unseal(frame, id, -1), bodyAt }
  }

  async readFrame(handle: FileHandle, file: OpenFile, index: number): Promise<Buffer> {
    const at = file.bodyAt + index * (FRAME + this.#overhead)
    const frame = Buffer.allocUnsafe(FRAME + this.#overhead)
    const { bytesRead } = await handle.read(frame, 0, frame.byteLength, at)
    if (bytesRead < this.#overhead) throw new Error('the file is short')
    return this.unseal(frame.subarray(0, bytesRead), file.id, index)
  }

  async readAll(handle: FileHandle, file: OpenFile, length: number): Promise<Uint8Array> {
    const whole = new Uint8Array(length)
    for (let at = 0, index = 0; at < length; index++) {
      const payload = await this.readFrame(handle, file, index)
      whole.set(payload, at)
      at += payload.byteLength
    }
    return whole
  }
}

function placeOf(id: Buffer, index: number): Buffer {
  const place = Buffer.alloc(20)
  id.copy(place, 0)
  place.writeInt32BE(index, 16)
  return place
}

async function readExactly(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await handle.read(buffer, 0, length, at)
  if (bytesRead !== length) throw new Error('the file is short')
  return buffer
}

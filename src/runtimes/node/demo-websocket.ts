/**
 * Just enough of RFC 6455 for the demo origin: unmasks frames and sends them back, answers pings, and
 * closes when told to. No extensions; frames up to 1 MiB.
 */
import type { Duplex } from 'node:stream'

const MAX_FRAME_BYTES = 1024 * 1024

const OPCODE = { close: 8, ping: 9, pong: 10 } as const

interface Frame {
  /** First byte: FIN, reserved bits and opcode. */
  readonly head: number
  readonly payload: Buffer
  /** Bytes the frame took. */
  readonly size: number
}

/** The first frame in `bytes`; `undefined` when more bytes are needed, `null` when it is not acceptable. */
function readFrame(bytes: Buffer): Frame | undefined | null {
  if (bytes.length < 2) return undefined
  const head = bytes.readUInt8(0)
  const second = bytes.readUInt8(1)
  // A client masks every frame (§5.1), and no extension was agreed on.
  if ((second & 0x80) === 0 || (head & 0x70) !== 0) return null
  let length = second & 0x7f
  let start = 2
  if (length === 126) {
    if (bytes.length < 4) return undefined
    length = bytes.readUInt16BE(2)
    start = 4
  } else if (length === 127) {
    if (bytes.length < 10) return undefined
    length = Number(bytes.readBigUInt64BE(2))
    start = 10
  }
  if (length > MAX_FRAME_BYTES) return null
  const size = start + 4 + length
  if (bytes.length < size) return undefined
  const payload = Buffer.from(bytes.subarray(start + 4, size))
  for (let i = 0; i < length; i++) {
    payload[i] = (payload[i] as number) ^ (bytes[start + (i & 3)] as number)
  }
  return { head, payload, size }
}

/** A frame from the server, unmasked. */
function frame(head: number, payload: Buffer): Buffer {
  const { length } = payload
  if (length < 126) return Buffer.concat([Buffer.of(head, length), payload])
  if (length < 65536) {
    return Buffer.concat([Buffer.of(head, 126, length >> 8, length & 255), payload])
  }
  const long = Buffer.alloc(10)
  long[0] = head
  long[1] = 127
  long.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([long, payload])
}

/** Echoes every frame on a socket whose handshake is done. */
export function echoFrames(socket: Duplex, head: Buffer): void {
  let pending = head
  const take = (chunk: Buffer): void => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    for (;;) {
      const next = readFrame(pending)
      if (next === undefined) return
      if (next === null) {
        socket.destroy()
        return
      }
      pending = pending.subarray(next.size)
      const opcode = next.head & 15
      if (opcode === OPCODE.close) {
        socket.end(frame(next.head, next.payload))
        return
      }
      if (opcode === OPCODE.ping) socket.write(frame(0x80 | OPCODE.pong, next.payload))
      else if (opcode !== OPCODE.pong) socket.write(frame(next.head, next.payload))
    }
  }
  socket.on('data', take)
  // Whoever leaves without a word ends the echo.
  socket.on('error', () => socket.destroy())
  socket.on('end', () => socket.end())
  if (head.length > 0) {
    pending = Buffer.alloc(0)
    take(head)
  }
}

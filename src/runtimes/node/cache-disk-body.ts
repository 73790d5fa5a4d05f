/** Bodies on their way to and from the cache's disk. */
import { randomBytes } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import type { ByteSink, ByteStream } from '../../exchange.ts'
import { FRAME, type Frames } from './cache-disk-frames.ts'

/** Bytes waiting to be written before a fill is slowed down. */
const HIGH_WATER = 4 * 1024 ** 2

interface WriterEvents {
  commit(size: number): Promise<void>
  /** `error` is undefined when the body failed and not the disk. */
  failed(error: unknown): Promise<void>
}

/** Takes a body and writes it beside its place; what it becomes is decided at its end. */
export class DiskWriter implements ByteSink {
  /** Resolves when the file is in its place, or gone. */
  done: Promise<void>
  readonly #frames: Frames
  readonly #id = randomBytes(16)
  readonly #length: number
  readonly #resume: () => void
  readonly #events: WriterEvents
  #handle: FileHandle | undefined
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #received = 0
  #index = 0
  #at = 0
  #isDead = false
  #queued = 0

  constructor(
    frames: Frames,
    path: string,
    header: Buffer,
    length: number,
    resume: () => void,
    events: WriterEvents,
  ) {
    this.#frames = frames
    this.#length = length
    this.#resume = resume
    this.#events = events
    this.done = this.#guard(async () => {
      this.#handle = await open(path, 'wx', 0o600)
      const first = this.#frames.header(this.#id, header) as Buffer
      await this.#append(first)
    })
  }

  write(chunk: Uint8Array): boolean {
    if (this.#isDead) return true
    this.#received += chunk.byteLength
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.byteLength
    if (this.#pendingBytes < FRAME) return true
    this.#flush(false)
    return this.#queued < HIGH_WATER
  }

  end(): void {
    this.#flush(true)
    this.done = this.#then(async () => {
      if (this.#received !== this.#length) throw undefined
      await this.#handle?.close()
      this.#handle = undefined
      await this.#events.commit(this.#at)
    })
  }

  fail(): void {
    this.done = this.#then(() => Promise.reject(undefined))
  }

  /** Seals what has come in whole frames, or all of it at the end. */
  #flush(isLast: boolean): void {
    const bytes = Buffer.concat(this.#pending)
    const whole = isLast ? bytes.byteLength : bytes.byteLength - (bytes.byteLength % FRAME)
    const rest = bytes.subarray(whole)
    this.#pending = rest.byteLength > 0 ? [Buffer.from(rest)] : []
    this.#pendingBytes = rest.byteLength
    if (whole === 0) return
    this.#queued += whole
    this.done = this.#then(async () => {
      const wasFull = this.#queued >= HIGH_WATER
      for (let at = 0; at < whole; at += FRAME) {
        const payload = bytes.subarray(at, Math.min(at + FRAME, whole))
        await this.#append(this.#frames.seal(payload, this.#id, this.#index++))
      }
      this.#queued -= whole
      if (wasFull && this.#queued < HIGH_WATER) this.#resume()
    })
  }

  async #append(bytes: Buffer): Promise<void> {
    const { bytesWritten } = (await this.#handle?.write(bytes, 0, bytes.byteLength, this.#at)) ?? {
      bytesWritten: 0,
    }
    if (bytesWritten !== bytes.byteLength) {
      // As a write says it that finds no room at all.
      throw Object.assign(new Error('ENOSPC: the disk took only a part'), { code: 'ENOSPC' })
    }
    this.#at += bytes.byteLength
  }

  #then(act: () => Promise<void>): Promise<void> {
    return this.done.then(() => (this.#isDead ? undefined : this.#guard(act)))
  }

  async #guard(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.#isDead = true
      this.#pending = []
      await this.#handle?.close().catch(() => undefined)
      this.#handle = undefined
      await this.#events.failed(error).catch(() => undefined)
      // A fill must not wait for a disk that is gone.
      this.#resume()
    }
  }
}

/** Positions [from, to) of a stored body. */
export class DiskStream implements ByteStream {
  readonly length: number
  readonly #path: string
  readonly #frames: Frames
  readonly #from: number
  readonly #to: number
  #isCancelled = false
  #wake: (() => void) | undefined

  constructor(path: string, frames: Frames, from: number, to: number) {
    this.length = to - from
    this.#path = path
    this.#frames = frames
    this.#from = from
    this.#to = to
  }

  pipe(sink: ByteSink): void {
    this.#send(sink).catch((error: unknown) => {
      if (!this.#isCancelled) sink.fail(error instanceof Error ? error : new Error(String(error)))
    })
  }

  resume(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  cancel(): void {
    this.#isCancelled = true
    this.resume()
  }

  async #send(sink: ByteSink): Promise<void> {
    const handle = await open(this.#path, 'r')
    try {
      const file = await this.#frames.openFile(handle)
      let at = this.#from
      while (at < this.#to && !this.#isCancelled) {
        const index = Math.floor(at / FRAME)
        const payload = await this.#frames.readFrame(handle, file, index)
        const begin = at - index * FRAME
        const piece = payload.subarray(begin, Math.min(payload.byteLength, begin + this.#to - at))
        if (piece.byteLength === 0) throw new Error('the file is short')
        at += piece.byteLength
        if (this.#isCancelled) return
        if (!sink.write(piece)) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } finally {
      await handle.close()
    }
    if (!this.#isCancelled) sink.end()
  }
}

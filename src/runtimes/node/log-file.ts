/**
 * Access log writer: lines are encoded into slabs of memory, full slabs are written in the background,
 * one at a time and in order. When the disk or the reader of a pipe is slower than the traffic, the
 * slabs run out and lines are dropped and counted: a request never waits for its log line, and memory
 * never grows.
 */
import { close, closeSync, fstatSync, open, openSync, stat, write } from 'node:fs'
import type { RecordSink } from '../../ports.ts'

export type LogTarget = 'stdout' | { readonly file: string }

/** `fs.write` in the form that is used here; tests put a slow or full disk in its place. */
export type WriteBytes = (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  done: (error: NodeJS.ErrnoException | null, written: number) => void,
) => void

export interface LogFileOptions {
  /** Size of one slab, bytes. A longer line is dropped. */
  readonly slabBytes?: number
  /** Slabs at most, at least 2: memory is bounded by the product. */
  readonly slabs?: number
  /** How long a line may wait in memory, milliseconds. */
  readonly flushAfterMs?: number
  readonly write?: WriteBytes
}

interface Slab {
  readonly bytes: Buffer
  used: number
  lines: number
}

/** A pipe whose reader is slow answers EAGAIN; the slab is tried again after this, milliseconds. */
const RETRY_AFTER_MS = 20
/** Read and write for the owner, read for the group: logs are personal data. */
const FILE_MODE = 0o640
/** How often it is looked whether the name has become another file's, at most, milliseconds. */
const FOLLOW_MS = 1000

const writeToFile: WriteBytes = (fd, bytes, offset, length, done) =>
  write(fd, bytes, offset, length, null, done)

function identityOf({ dev, ino }: { readonly dev: number; readonly ino: number }): string {
  return `${dev} ${ino}`
}

export class LogFile implements RecordSink {
  readonly #target: LogTarget
  readonly #slabBytes: number
  readonly #slabLimit: number
  readonly #flushAfterMs: number
  readonly #write: WriteBytes
  readonly #free: Slab[] = []
  readonly #queue: Slab[] = []
  #slabCount = 1
  #current: Slab
  #fd: number
  /** Device and number of the file that is open. */
  #identity = ''
  #lookedAt = performance.now()
  #isWriting = false
  #isBroken = false
  #wantsReopen = false
  #timer: NodeJS.Timeout | undefined
  #slabsQueued = 0
  #slabsDone = 0
  #waiters: { readonly until: number; readonly resolve: () => void }[] = []
  #dropped = 0
  #written = 0
  #lastError: string | undefined

  /** @throws the error of `open` when the file cannot be opened for appending */
  constructor(target: LogTarget, options: LogFileOptions = {}) {
    this.#target = target
    this.#slabBytes = options.slabBytes ?? 256 * 1024
    this.#slabLimit = Math.max(2, options.slabs ?? 8)
    this.#flushAfterMs = options.flushAfterMs ?? 100
    this.#write = options.write ?? writeToFile
    this.#fd = target === 'stdout' ? 1 : openSync(target.file, 'a', FILE_MODE)
    if (target !== 'stdout') this.#identity = identityOf(fstatSync(this.#fd))
    this.#current = this.#newSlab()
  }

  /** Lines that were lost: no free slab, too long, or a failed write. */
  get dropped(): number {
    return this.#dropped
  }

  /** Lines that reached the file. */
  get written(): number {
    return this.#written
  }

  /** Code of the last failure, such as `ENOSPC`. */
  get lastError(): string | undefined {
    return this.#lastError
  }

  #newSlab(): Slab {
    return { bytes: Buffer.allocUnsafeSlow(this.#slabBytes), used: 0, lines: 0 }
  }

  line(text: string): void {
    // UTF-8 takes at most three bytes for each UTF-16 unit.
    const most = text.length * 3 + 1
    let slab = this.#current
    if (slab.used + most > this.#slabBytes) {
      if (this.#isBroken || most > this.#slabBytes || !this.#nextSlab()) {
        this.#dropped++
        return
      }
      slab = this.#current
    }
    const { bytes } = slab
    let end = slab.used + bytes.write(text, slab.used)
    bytes[end++] = 10
    slab.used = end
    slab.lines++
    if (this.#timer === undefined && !this.#isWriting) this.#startTimer()
  }

  /** Queues the current slab and takes a free one; false when there is none. */
  #nextSlab(): boolean {
    let next = this.#free.pop()
    if (next === undefined) {
      if (this.#slabCount === this.#slabLimit) return false
      this.#slabCount++
      next = this.#newSlab()
    }
    this.#queue.push(this.#current)
    this.#slabsQueued++
    this.#current = next
    this.#pump()
    return true
  }

  readonly #flushNow = (): void => {
    this.#timer = undefined
    if (this.#current.lines > 0) this.#nextSlab()
    this.#pump()
  }

  #pump(): void {
    if (this.#isWriting) return
    if (this.#wantsReopen) {
      this.#reopenNow()
      return
    }
    const slab = this.#queue.shift()
    if (slab !== undefined) {
      this.#isWriting = true
      if (this.#target === 'stdout' || performance.now() - this.#lookedAt < FOLLOW_MS) {
        this.#writeFrom(slab, 0)
      } else this.#follow(this.#target.file, () => this.#writeFrom(slab, 0))
    } else if (this.#current.lines > 0) {
      if (this.#waiters.length > 0) this.#nextSlab()
      else this.#startTimer()
    }
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(this.#flushNow, this.#flushAfterMs)
    this.#timer.unref()
  }

  #writeFrom(slab: Slab, offset: number): void {
    if (this.#isBroken) {
      this.#finish(slab, false)
      return
    }
    this.#write(this.#fd, slab.bytes, offset, slab.used - offset, (error, written) => {
      if (error === null) {
        const next = offset + written
        if (next < slab.used) this.#writeFrom(slab, next)
        else this.#finish(slab, true)
        return
      }
      this.#lastError = error.code ?? error.message
      if (error.code === 'EAGAIN') {
        setTimeout(() => this.#writeFrom(slab, offset), RETRY_AFTER_MS)
        return
      }
      // The reader of stdout is gone for good; a disk may have room again later.
      if (error.code === 'EPIPE') this.#isBroken = true
      this.#finish(slab, false)
    })
  }

  #finish(slab: Slab, isWritten: boolean): void {
    if (isWritten) this.#written += slab.lines
    else this.#dropped += slab.lines
    slab.used = 0
    slab.lines = 0
    this.#free.push(slab)
    this.#isWriting = false
    this.#slabsDone++
    this.#waiters = this.#waiters.filter(({ until, resolve }) => {
      if (until > this.#slabsDone) return true
      resolve()
      return false
    })
    this.#pump()
  }

  /** Opens the file anew, after a rotation; what is queued goes to the new file. No effect on stdout. */
  reopen(): void {
    if (this.#target === 'stdout') return
    this.#wantsReopen = true
    this.#pump()
  }

  #reopenNow(): void {
    this.#wantsReopen = false
    if (this.#target === 'stdout') return
    this.#isWriting = true
    this.#openAnew(this.#target.file, () => {
      this.#isWriting = false
      this.#pump()
    })
  }

  /** A rotation or an erasure by another process has put another file, or none, under the name. */
  #follow(file: string, done: () => void): void {
    stat(file, (error, found) => {
      this.#lookedAt = performance.now()
      if (error === null ? identityOf(found) === this.#identity : error.code !== 'ENOENT') done()
      else this.#openAnew(file, done)
    })
  }

  #openAnew(file: string, done: () => void): void {
    open(file, 'a', FILE_MODE, (error, fd) => {
      if (error === null) {
        const old = this.#fd
        this.#fd = fd
        this.#identity = identityOf(fstatSync(fd))
        this.#isBroken = false
        close(old, () => {})
      } else {
        // The old file stays in use.
        this.#lastError = error.code ?? error.message
      }
      done()
    })
  }

  /** Resolves when everything so far has been written or given up. */
  flush(): Promise<void> {
    const until = this.#slabsQueued + (this.#current.lines > 0 ? 1 : 0)
    if (until === this.#slabsDone) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.push({ until, resolve })
      this.#pump()
    })
  }

  /**
   * Writes what is left, then closes the file. Lines after this are dropped.
   * @param timeoutMs how long a stuck disk or pipe may hold this up
   */
  async close(timeoutMs = 2000): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<'timeout'>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, 'timeout')
    })
    const ended = await Promise.race([this.flush(), timeout])
    clearTimeout(timer)
    clearTimeout(this.#timer)
    this.#isBroken = true
    // A write that is stuck still holds the descriptor.
    if (ended !== 'timeout' && this.#target !== 'stdout') closeSync(this.#fd)
  }
}

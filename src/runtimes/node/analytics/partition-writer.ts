/**
 * Records into the file of the hour in which they come. A line goes into memory and from there to the disk in
 * the background (`log-file.ts`); a slow or full disk loses lines and counts them, a request never waits. A
 * file is complete, synced and renamed when its hour is over, or when it has grown large.
 */
import { mkdirSync } from 'node:fs'
import { rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Logger, RecordSink } from '../../../ports.ts'
import { LogFile, type LogFileOptions } from '../log-file.ts'
import {
  CLOSED,
  fileName,
  HOUR_MS,
  hourOf,
  OPEN,
  partitionName,
  syncFile,
  syncFolder,
  thisWriter,
  type Writer,
} from './layout.ts'

export interface PartitionWriterOptions {
  readonly dir: string
  readonly log: Logger
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  /** A file that has this many lines' bytes is followed by another one. */
  readonly maxFileBytes?: number
  readonly file?: LogFileOptions
  /** Called when a file is complete. */
  readonly onClosed?: (path: string) => void
}

interface Current {
  readonly hour: number
  /** Without the extension. */
  readonly base: string
  readonly file: LogFile
  /** UTF-16 units, which is near enough. */
  size: number
}

/** A file becomes one part of a Parquet file; that of so much text stays below what one upload may carry. */
const MAX_FILE_BYTES = 256 * 1024 ** 2
/** How long a slow disk may take for the last lines of a file, and when the process is about to end. */
const CLOSE_MS = 60_000
const STOP_MS = 5000
/** After a file could not be opened. */
const RETRY_AFTER_MS = 1000
/** So long after the end of an hour its file is closed, although no line came. */
const ROTATE_AFTER_MS = 1000

export class PartitionWriter implements RecordSink {
  readonly #dir: string
  readonly #log: Logger
  readonly #now: () => number
  readonly #maxFileBytes: number
  readonly #fileOptions: LogFileOptions
  readonly #onClosed: (path: string) => void
  readonly #writer: Writer
  readonly #closing = new Set<Promise<void>>()
  #current: Current | undefined
  #number = 0
  #timer: NodeJS.Timeout | undefined
  #retryAt = 0
  #dropped = 0
  #written = 0
  #isClosed = false
  #lastError: string | undefined

  constructor(options: PartitionWriterOptions) {
    this.#dir = options.dir
    this.#log = options.log
    this.#now = options.now ?? Date.now
    this.#maxFileBytes = options.maxFileBytes ?? MAX_FILE_BYTES
    this.#fileOptions = options.file ?? {}
    this.#onClosed = options.onClosed ?? (() => {})
    this.#writer = thisWriter(this.#now())
  }

  /** Records that were lost, of all files so far. */
  get dropped(): number {
    return this.#dropped + (this.#current?.file.dropped ?? 0)
  }

  get written(): number {
    return this.#written + (this.#current?.file.written ?? 0)
  }

  get lastError(): string | undefined {
    return this.#current?.file.lastError ?? this.#lastError
  }

  line(text: string): void {
    const now = this.#now()
    let current = this.#current
    if (
      current === undefined ||
      now >= current.hour + HOUR_MS ||
      now < current.hour ||
      current.size > this.#maxFileBytes
    ) {
      current = this.#next(now)
      if (current === undefined) {
        this.#dropped++
        return
      }
    }
    current.size += text.length + 1
    current.file.line(text)
  }

  /** Undefined when no file can be opened now. */
  #next(now: number): Current | undefined {
    this.#finishCurrent()
    if (this.#isClosed || now < this.#retryAt) return undefined
    const hour = hourOf(now)
    const base = join(this.#dir, partitionName(hour), fileName(this.#writer, this.#number))
    try {
      mkdirSync(dirname(base), { recursive: true, mode: 0o750 })
      const file = new LogFile({ file: `${base}${OPEN}` }, this.#fileOptions)
      this.#number++
      this.#current = { hour, base, file, size: 0 }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
      if (code !== this.#lastError) {
        this.#log.error('no analytics file can be opened, records are lost until one can', {
          path: `${base}${OPEN}`,
          error: code,
        })
      }
      this.#lastError = code
      this.#retryAt = now + RETRY_AFTER_MS
      return undefined
    }
    this.#lastError = undefined
    this.#timer = setTimeout(() => this.#finishCurrent(), hour + HOUR_MS + ROTATE_AFTER_MS - now)
    this.#timer.unref()
    return this.#current
  }

  #finishCurrent(): void {
    const current = this.#current
    if (current === undefined) return
    this.#current = undefined
    clearTimeout(this.#timer)
    const done = this.#finish(current).finally(() => this.#closing.delete(done))
    this.#closing.add(done)
  }

  async #finish({ base, file }: Current): Promise<void> {
    const path = `${base}${OPEN}`
    try {
      await file.close(this.#isClosed ? STOP_MS : CLOSE_MS)
      if ((await stat(path)).size === 0) {
        await unlink(path)
        return
      }
      await syncFile(path)
      await rename(path, `${base}${CLOSED}`)
      await syncFolder(dirname(path))
      this.#onClosed(`${base}${CLOSED}`)
    } catch (error) {
      // What is on the disk stays there, and is taken over when this process is gone.
      this.#log.error('an analytics file cannot be completed', { path, error: String(error) })
    } finally {
      this.#dropped += file.dropped
      this.#written += file.written
    }
  }

  /** Ends the file of this moment, as at the end of an hour; the next line begins another one. */
  async rotate(): Promise<void> {
    this.#finishCurrent()
    await Promise.all(this.#closing)
  }

  /** Writes what is left. Lines after this are dropped. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.rotate()
  }
}

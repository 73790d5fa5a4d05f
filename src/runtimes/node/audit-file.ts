/**
 * The audit log on disk. Lines are appended one after another off the caller's path; a write that fails (a
 * full disk) leaves the file as it was, keeps its lines and tries again with the next entry and every few
 * seconds, so that a disk which gets room again gets every entry. What does not fit the queue is counted.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type AuditStore, type ChainHead, checkLine, GENESIS } from '../../admin/audit.ts'
import { ConfigError } from '../../config/errors.ts'
import type { Logger } from '../../ports.ts'

/** Entries that wait for a disk. */
const MAX_PENDING = 10_000
const RETRY_MS = 5000
/** Longest last line that is looked for. */
const TAIL_BYTES = 64 * 1024
/** The owner writes; the group may read, as with other logs. */
const FILE_MODE = 0o640
const NEWLINE = 10

/** What the writer needs of a file; tests bring one that is full. */
export type AuditHandle = Pick<FileHandle, 'write' | 'truncate' | 'sync' | 'close'>

export interface OpenedAudit {
  readonly file: AuditFile
  /** Undefined for a new log. */
  readonly head: ChainHead | undefined
  /** Bytes of a last line that a crash had cut, and that were taken away. */
  readonly cutBytes: number
}

export class AuditFile implements AuditStore {
  readonly path: string
  readonly #handle: AuditHandle
  readonly #log: Logger
  readonly #queue: string[] = []
  /** Bytes of whole lines. */
  #length: number
  #writing: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #lost = 0
  #lastError: string | null = null

  constructor(path: string, handle: AuditHandle, length: number, log: Logger) {
    this.path = path
    this.#handle = handle
    this.#length = length
    this.#log = log
  }

  /**
   * @param path relative to the config file
   * @throws ConfigError when it cannot be written, or its last line does not hold
   */
  static async open(path: string, configPath: string, log: Logger): Promise<OpenedAudit> {
    const absolute = resolve(dirname(configPath), path)
    let handle: FileHandle
    try {
      handle = await open(absolute, 'a+', FILE_MODE)
    } catch (error) {
      throw refusal(
        `the audit log cannot be opened: ${messageOf(error)}`,
        'the folder must exist and be writable for the user that runs the gateway',
      )
    }
    const { size } = await handle.stat()
    const from = Math.max(0, size - TAIL_BYTES)
    const tail = Buffer.alloc(size - from)
    await handle.read(tail, 0, tail.length, from)
    const end = tail.lastIndexOf(NEWLINE)
    const cutBytes = tail.length - (end + 1)
    const length = size - cutBytes
    if (length === 0 && cutBytes === 0) {
      return { file: new AuditFile(absolute, handle, 0, log), head: undefined, cutBytes }
    }
    const start = end <= 0 ? 0 : tail.lastIndexOf(NEWLINE, end - 1) + 1
    const line = end < 0 ? '' : tail.toString('utf8', start, end)
    const head = length === 0 ? { seq: 0, hash: GENESIS } : checkLine(line)
    if (typeof head === 'string') {
      await handle.close()
      throw refusal(
        `the last line of ${path} does not hold: ${head}`,
        'keep the file for whoever looks into it, and name another one',
      )
    }
    if (cutBytes > 0) await handle.truncate(length)
    return { file: new AuditFile(absolute, handle, length, log), head, cutBytes }
  }

  get pending(): number {
    return this.#queue.length
  }

  get lost(): number {
    return this.#lost
  }

  get lastError(): string | null {
    return this.#lastError
  }

  append(line: string): void {
    if (this.#queue.length >= MAX_PENDING) {
      this.#lost++
      return
    }
    this.#queue.push(line)
    this.#writing ??= this.#write()
  }

  /** Resolves when everything so far is on disk, or cannot be written now. */
  async flushed(): Promise<void> {
    await this.#writing
  }

  async close(): Promise<void> {
    clearTimeout(this.#retry)
    await this.#writing
    if (this.#queue.length > 0) {
      await this.#write()
      clearTimeout(this.#retry)
    }
    if (this.#queue.length > 0) {
      this.#log.error('entries of the audit log were not written', {
        entries: this.#queue.length,
        error: this.#lastError,
      })
    }
    await this.#handle.close()
  }

  async #write(): Promise<void> {
    // Entries of one turn of the event loop go out together.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const count = this.#queue.length
      const bytes = Buffer.from(this.#queue.map((line) => `${line}\n`).join(''))
      try {
        let done = 0
        while (done < bytes.length) {
          const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done)
          done += bytesWritten
        }
        await this.#handle.sync()
        this.#length += bytes.length
        this.#queue.splice(0, count)
        this.#lastError = null
      } catch (error) {
        await this.#failed(error)
        break
      }
    }
    this.#writing = undefined
  }

  /** Half a line must not stay: the next one would be glued to it. */
  async #failed(error: unknown): Promise<void> {
    if (this.#lastError === null) {
      this.#log.error('the audit log cannot be written; entries wait in memory', {
        file: this.path,
        error: messageOf(error),
      })
    }
    this.#lastError = messageOf(error)
    try {
      await this.#handle.truncate(this.#length)
    } catch (cause) {
      this.#lastError = messageOf(cause)
    }
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      this.#writing ??= this.#write()
    }, RETRY_MS)
    this.#retry.unref()
  }
}

function refusal(message: string, hint: string): ConfigError {
  return new ConfigError([{ path: 'admin.audit.file', message, hint }])
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * Finished files to a bucket, each once. What has been verified there stands in a journal; what does not is
 * looked for in the bucket before it is sent, so that an upload which was killed after the last byte is not
 * repeated, and one that was killed before it is.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, readFile, rename, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import type { Logger } from '../../../ports.ts'
import { isMissing, syncFolder } from './layout.ts'
import { isSame, type LocalObject, type ObjectStore, StoreError } from './object-store.ts'

const JOURNAL = 'uploads.ndjson'

interface Entry {
  /** Relative to the folder. */
  readonly file: string
  readonly size: number
  readonly sha256: string
  /** Where it went; another bucket is to get everything anew. */
  readonly target: string
  readonly at: string
}

/** What has been uploaded and verified. */
export class UploadJournal {
  readonly #path: string
  readonly #dir: string
  readonly #target: string
  readonly #done = new Map<string, Entry>()
  #others: Entry[] = []

  private constructor(dir: string, target: string) {
    this.#dir = dir
    this.#path = join(dir, JOURNAL)
    this.#target = target
  }

  /** @param target names endpoint, bucket and prefix */
  static async open(dir: string, target: string): Promise<UploadJournal> {
    const journal = new UploadJournal(dir, target)
    await journal.#load()
    return journal
  }

  async #load(): Promise<void> {
    let text: string
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    const lines = text.split('\n')
    // Behind the last newline is nothing, or what a killed process was writing.
    const isWhole = lines.pop() === ''
    let isStale = !isWhole
    for (const line of lines) {
      const entry = entryOf(line)
      if (entry === undefined || !(await exists(join(this.#dir, entry.file)))) isStale = true
      else if (entry.target === this.#target) this.#done.set(entry.file, entry)
      else this.#others.push(entry)
    }
    if (isStale) await this.#rewrite()
  }

  /** Entries of files that are gone are of no use, and a torn line would spoil the next one. */
  async #rewrite(): Promise<void> {
    const temporary = `${this.#path}.tmp`
    const entries = [...this.#others, ...this.#done.values()]
    await writeWhole(temporary, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
    await rename(temporary, this.#path)
    await syncFolder(this.#dir)
  }

  has(file: string): boolean {
    return this.#done.has(file)
  }

  async add(file: string, { size, sha256 }: Pick<LocalObject, 'size' | 'sha256'>): Promise<void> {
    const at = new Date().toISOString()
    const entry: Entry = { file, size, sha256, target: this.#target, at }
    const handle = await open(this.#path, 'a', 0o640)
    try {
      await handle.writeFile(`${JSON.stringify(entry)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    this.#done.set(file, entry)
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const handle = await open(path, 'w', 0o640)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function entryOf(line: string): Entry | undefined {
  try {
    const entry = JSON.parse(line) as Partial<Entry>
    return typeof entry.file === 'string' && typeof entry.target === 'string'
      ? (entry as Entry)
      : undefined
  } catch {
    // A line that cannot be read counts as not uploaded: the bucket is asked again.
    return undefined
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

export interface UploadReport {
  stored: number
  /** In the bucket already: an earlier pass was killed before it could note it. */
  found: number
  failed: number
  bytes: number
}

export interface UploadOptions {
  readonly store: ObjectStore
  readonly journal: UploadJournal
  /** Folders before the file's own in the key; empty or with a slash at its end. */
  readonly prefix: string
  readonly log: Logger
  /** Before the second try; doubles. */
  readonly retryAfterMs?: number
}

const TRIES = 5
const RETRY_AFTER_MS = 1000

/** @param files relative to `dir`, oldest first */
export async function upload(
  dir: string,
  files: readonly string[],
  options: UploadOptions,
  report: UploadReport,
): Promise<void> {
  for (const file of files) {
    if (options.journal.has(file)) continue
    try {
      await uploadOne(dir, file, options, report)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      report.failed++
      options.log.error('an analytics file is not uploaded, it will be tried again', {
        file,
        error: error.message,
      })
      // What refuses one refuses them all, and what does not answer will not.
      return
    }
  }
}

async function uploadOne(
  dir: string,
  file: string,
  { store, journal, prefix, retryAfterMs = RETRY_AFTER_MS }: UploadOptions,
  report: UploadReport,
): Promise<void> {
  const key = prefix + file.split(sep).join('/')
  const handle = await open(join(dir, file), 'r')
  try {
    const local = await digest(handle)
    let isSent = false
    await patiently(retryAfterMs, async () => {
      const before = await store.head(key)
      if (before !== undefined && isSame(before, local)) return
      if (before !== undefined && !isSent) {
        throw new StoreError(`there is another file as ${key}`, false)
      }
      isSent = true
      await store.put(key, local)
      const after = await store.head(key)
      if (after === undefined || !isSame(after, local)) {
        throw new StoreError(`${key} is not what was sent`, true)
      }
    })
    await journal.add(file, local)
    if (isSent) {
      report.stored++
      report.bytes += local.size
    } else report.found++
  } finally {
    await handle.close()
  }
}

async function patiently(firstMs: number, run: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run()
      return
    } catch (error) {
      if (!(error instanceof StoreError) || !error.isTransient || attempt === TRIES) throw error
      const pause = firstMs * 2 ** (attempt - 1) * (0.5 + Math.random())
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}

async function digest(handle: FileHandle): Promise<LocalObject> {
  const sha256 = createHash('sha256')
  const md5 = createHash('md5')
  let size = 0
  const piece = Buffer.allocUnsafe(256 * 1024)
  for (;;) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, size)
    if (bytesRead === 0) break
    size += bytesRead
    sha256.update(piece.subarray(0, bytesRead))
    md5.update(piece.subarray(0, bytesRead))
  }
  return { handle, size, sha256: sha256.digest('hex'), md5: md5.digest('hex') }
}

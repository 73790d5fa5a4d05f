/**
 * The cache on disk: one file for each stored response, written beside its place and renamed into it. The
 * index is in memory and is rebuilt from the file names in the background; what is damaged is thrown away
 * when it is read. A disk that fails is left alone for a while.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  recordOf,
  revive,
  type StoredBody,
  type StoredRecord,
  type StoredResponse,
} from '../../cache/policy/stored-response.ts'
import type { CacheStore, StoredVariants, StoreStats } from '../../cache/store/cache-store.ts'
import type { Millis } from '../../exchange.ts'
import type { Clock, Logger } from '../../ports.ts'
import { DiskStream, DiskWriter } from './cache-disk-body.ts'
import { Frames, type OpenFile } from './cache-disk-frames.ts'

/** How long a disk that failed is not written to. */
const REST: Millis = 60_000
/** Bodies up to this size are read at once; larger ones are streamed. */
const READ_WHOLE = 262_144

export interface DiskStoreOptions {
  readonly directory: string
  readonly capacityBytes: number
  readonly maxObject: number
  /** 32 bytes; without it files are only checksummed. */
  readonly key?: Uint8Array | undefined
  readonly clock: Clock
  readonly log: Logger
}

interface Entry {
  readonly name: string
  size: number
}

type Header = StoredRecord & {
  readonly bodyLength: number
  readonly hasBody: boolean
}

export class DiskStore implements CacheStore {
  readonly name = 'disk'
  readonly maxObject: number
  readonly #options: DiskStoreOptions
  readonly #frames: Frames
  /** Oldest use first. */
  readonly #files = new Map<string, Entry>()
  /** Names by hash of the key. */
  readonly #byKey = new Map<string, Set<string>>()
  #bytes = 0
  #evicted = 0
  #rejected = 0
  #restUntil: Millis = 0
  #isScanned = false
  #scan: Promise<void> | undefined

  constructor(options: DiskStoreOptions) {
    this.#options = options
    this.maxObject = options.maxObject
    this.#frames = new Frames(options.key)
  }

  /** Makes the folder and begins to read the index. @throws when the folder cannot be made or used */
  async start(): Promise<void> {
    await mkdir(join(this.#options.directory, 'tmp'), { recursive: true })
    // What a crash left half-written.
    await rm(join(this.#options.directory, 'tmp'), { recursive: true, force: true })
    await mkdir(join(this.#options.directory, 'tmp'), { recursive: true })
    this.#scan = this.#readIndex().catch((error: unknown) => this.#failed('scan', error))
  }

  /** Resolves when the index is complete. */
  async ready(): Promise<void> {
    await this.#scan
  }

  async lookup(key: string): Promise<StoredVariants | undefined> {
    const hash = hashOf(key)
    if (!this.#isScanned) await this.#readFolder(hash.slice(0, 4))
    const names = this.#byKey.get(hash)
    if (names === undefined) return undefined
    const responses: StoredResponse[] = []
    for (const name of [...names]) {
      const response = await this.#read(name, key)
      if (response !== undefined) responses.push(response)
    }
    responses.sort((a, b) => b.receivedWall - a.receivedWall)
    return responses.length === 0 ? undefined : { key, responses }
  }

  async put(response: StoredResponse): Promise<void> {
    const { source, body } = response
    if (source !== undefined) {
      await this.#rewriteHeader(response, source.length)
      return
    }
    const writer = this.writer(response, body?.byteLength ?? 0, () => undefined)
    if (writer === undefined) return
    if (body !== null && body.byteLength > 0) writer.write(body)
    writer.end()
    await writer.done
  }

  writer(response: StoredResponse, length: number, resume: () => void): DiskWriter | undefined {
    if (length > this.maxObject || this.#options.clock.monotonic() < this.#restUntil) {
      this.#rejected++
      return undefined
    }
    const name = nameOf(response)
    const temporary = join(
      this.#options.directory,
      'tmp',
      `${name}-${randomBytes(6).toString('hex')}`,
    )
    return new DiskWriter(this.#frames, temporary, headerOf(response, length), length, resume, {
      commit: async (size) => {
        const path = this.#path(name)
        await mkdir(join(path, '..'), { recursive: true })
        await rename(temporary, path)
        this.#add(name, size)
        await this.#makeRoom()
      },
      failed: async (error) => {
        if (error !== undefined) this.#failed('write', error)
        await rm(temporary, { force: true })
      },
    })
  }

  async remove(key: string, response?: StoredResponse): Promise<void> {
    const names =
      response === undefined ? [...(this.#byKey.get(hashOf(key)) ?? [])] : [nameOf(response)]
    for (const name of names) await this.#delete(name)
  }

  async clear(): Promise<void> {
    for (const name of [...this.#files.keys()]) await this.#delete(name)
  }

  stats(): StoreStats {
    return {
      entries: this.#files.size,
      bytes: this.#bytes,
      capacity: this.#options.capacityBytes,
      evicted: this.#evicted,
      rejected: this.#rejected,
    }
  }

  #path(name: string): string {
    return join(this.#options.directory, name.slice(0, 2), name.slice(2, 4), name)
  }

  #add(name: string, size: number): void {
    const known = this.#files.get(name)
    if (known !== undefined) {
      this.#bytes -= known.size
      this.#files.delete(name)
    }
    this.#files.set(name, { name, size })
    this.#bytes += size
    const hash = name.slice(0, 40)
    const names = this.#byKey.get(hash)
    if (names === undefined) this.#byKey.set(hash, new Set([name]))
    else names.add(name)
  }

  async #delete(name: string): Promise<void> {
    const entry = this.#files.get(name)
    if (entry !== undefined) {
      this.#files.delete(name)
      this.#bytes -= entry.size
      const names = this.#byKey.get(name.slice(0, 40))
      names?.delete(name)
      if (names?.size === 0) this.#byKey.delete(name.slice(0, 40))
    }
    await rm(this.#path(name), { force: true })
  }

  async #makeRoom(): Promise<void> {
    for (const name of this.#files.keys()) {
      if (this.#bytes <= this.#options.capacityBytes) return
      this.#evicted++
      await this.#delete(name)
    }
  }

  #failed(what: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    this.#options.log.warn(`cache on disk: ${what} failed, not writing for a minute`, { message })
    this.#restUntil = this.#options.clock.monotonic() + REST
  }

  async #readIndex(): Promise<void> {
    const { directory } = this.#options
    for (const outer of await folders(directory)) {
      if (!/^[0-9a-f]{2}$/.test(outer)) continue
      for (const inner of await folders(join(directory, outer)))
        await this.#readFolder(outer + inner)
    }
    this.#isScanned = true
    await this.#makeRoom()
  }

  async #readFolder(prefix: string): Promise<void> {
    const folder = join(this.#options.directory, prefix.slice(0, 2), prefix.slice(2, 4))
    for (const name of await folders(folder)) {
      if (!/^[0-9a-f]{56}$/.test(name) || this.#files.has(name)) continue
      const { size } = await stat(join(folder, name))
      this.#add(name, size)
    }
  }

  async #read(name: string, key: string): Promise<StoredResponse | undefined> {
    let handle: FileHandle | undefined
    try {
      handle = await open(this.#path(name), 'r')
      const file = await this.#frames.openFile(handle)
      const header = JSON.parse(file.header.toString()) as Header
      const { size } = await handle.stat()
      if (header.key !== key || size !== file.bodyAt + this.#frames.sizeOf(header.bodyLength)) {
        throw new Error('not the response that its name says')
      }
      const entry = this.#files.get(name)
      if (entry !== undefined) {
        this.#files.delete(name)
        this.#files.set(name, entry)
      }
      return await this.#revive(name, header, handle, file)
    } catch {
      // Damaged, half-written, or gone: it is a miss, and the file is of no use.
      await this.#delete(name)
      return undefined
    } finally {
      await handle?.close()
    }
  }

  async #revive(
    name: string,
    header: Header,
    handle: FileHandle,
    file: OpenFile,
  ): Promise<StoredResponse> {
    const { bodyLength, hasBody, ...record } = header
    const body = !hasBody
      ? null
      : bodyLength <= READ_WHOLE
        ? await this.#frames.readAll(handle, file, bodyLength)
        : null
    const files = this.#files
    const entry = files.get(name)
    const source: StoredBody | undefined =
      bodyLength > READ_WHOLE
        ? {
            length: bodyLength,
            get isThere() {
              return entry !== undefined && files.get(name) === entry
            },
            open: (span) =>
              new DiskStream(
                this.#path(name),
                this.#frames,
                span?.first ?? 0,
                (span?.last ?? bodyLength - 1) + 1,
              ),
          }
        : undefined
    return revive(record, { body, source }, this.#options.clock)
  }

  /** A 304 changed the fields, not the bytes: only the header is written, in place if it fits. */
  async #rewriteHeader(response: StoredResponse, length: number): Promise<void> {
    const name = nameOf(response)
    try {
      const handle = await open(this.#path(name), 'r+')
      try {
        const file = await this.#frames.openFile(handle)
        const header = this.#frames.header(file.id, headerOf(response, length), file.bodyAt)
        if (header === undefined) throw new Error('the header has outgrown its place')
        await handle.write(header, 0, header.byteLength, 0)
      } finally {
        await handle.close()
      }
    } catch {
      // It can be fetched again; what is on disk must not contradict what is in memory.
      await this.#delete(name)
    }
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 40)
}

/** Hash of the key, then of what tells variants and parts of it from each other. */
function nameOf(response: StoredResponse): string {
  const { range } = response
  const variant = `${response.vary.join()}${response.signature}${range === undefined ? '' : `\n${range.first}-${range.last}`}`
  return hashOf(response.key) + hashOf(variant).slice(0, 16)
}

function headerOf(response: StoredResponse, bodyLength: number): Buffer {
  const header: Header = {
    ...recordOf(response),
    bodyLength,
    hasBody: response.body !== null || bodyLength > 0,
  }
  return Buffer.from(JSON.stringify(header))
}

async function folders(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch {
    // Not there yet.
    return []
  }
}

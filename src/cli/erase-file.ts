/** Takes lines out of a file, atomically: readers see the old file or the new one, and no other line is lost. */
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { CommandError } from './terminal.ts'

export interface Erased {
  readonly file: string
  readonly erased: number
  readonly kept: number
  /** Kept too. */
  readonly unreadable: number
}

export interface EraseFileOptions {
  /** A gateway may be writing to it. */
  readonly isLive: boolean
  /** Only count. */
  readonly isDry: boolean
}

/** True: it goes. Undefined: it cannot be read. */
export type LineTest = (line: string) => boolean | undefined

const CHUNK = 1024 * 1024
/** A gateway looks once a second whether its log has another file, before it writes; then a write may be under way. */
const QUIET_MS = 3000
const LONGEST_WAIT_MS = 60_000
const POLL_MS = 200

class Filter {
  readonly #test: LineTest
  #rest: Buffer = Buffer.alloc(0)
  erased = 0
  kept = 0
  unreadable = 0

  constructor(test: LineTest) {
    this.#test = test
  }

  /** What stays of the lines that are complete by now. */
  push(chunk: Buffer): Buffer {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const kept: Buffer[] = []
    let from = 0
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      const line = bytes.subarray(from, end + 1)
      if (this.#stays(line)) kept.push(line)
      from = end + 1
    }
    this.#rest = Buffer.from(bytes.subarray(from))
    return Buffer.concat(kept)
  }

  /** A last line without an end. */
  end(): Buffer {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    return rest.length > 0 && this.#stays(rest) ? rest : Buffer.alloc(0)
  }

  #stays(line: Buffer): boolean {
    const text = line.toString('utf8').trimEnd()
    if (text === '') return true
    const answer = this.#test(text)
    if (answer === true) {
      this.erased++
      return false
    }
    this.kept++
    if (answer === undefined) this.unreadable++
    return true
  }
}

/** @throws CommandError when the file cannot be read or replaced */
export async function eraseLines(
  file: string,
  test: LineTest,
  options: EraseFileOptions,
): Promise<Erased> {
  const temporary = join(dirname(file), `.${basename(file)}.erase-${process.pid}`)
  const filter = new Filter(test)
  try {
    const source = await open(file, 'r')
    try {
      if (file.endsWith('.gz')) await eraseCompressed(source, file, temporary, filter, options)
      else await erasePlain(source, file, temporary, filter, test, options)
    } finally {
      await source.close()
      await rm(temporary, { force: true })
    }
  } catch (error) {
    if (error instanceof CommandError) throw error
    throw new CommandError(`${file}: ${(error as Error).message}`, undefined, { cause: error })
  }
  const { erased, kept, unreadable } = filter
  return { file, erased, kept, unreadable }
}

async function eraseCompressed(
  source: FileHandle,
  file: string,
  temporary: string,
  filter: Filter,
  { isDry }: EraseFileOptions,
): Promise<void> {
  const text = gunzipSync(await source.readFile())
  const kept = Buffer.concat([filter.push(text), filter.end()])
  if (isDry || filter.erased === 0) return
  const target = await create(temporary, source)
  await target.writeFile(gzipSync(kept))
  await replace(target, temporary, file)
  await target.close()
}

async function erasePlain(
  source: FileHandle,
  file: string,
  temporary: string,
  filter: Filter,
  test: LineTest,
  { isDry, isLive }: EraseFileOptions,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(CHUNK)
  // Counted first: a file without a line of hers is left alone.
  const counter = new Filter(test)
  let at = 0
  for (;;) {
    const { bytesRead } = await source.read(buffer, 0, CHUNK, at)
    if (bytesRead === 0) break
    counter.push(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  if (isDry || counter.erased === 0) {
    counter.end()
    filter.erased = counter.erased
    filter.kept = counter.kept
    filter.unreadable = counter.unreadable
    return
  }
  const target = await create(temporary, source)
  try {
    at = 0
    const copy = async (): Promise<number> => {
      const begun = at
      for (;;) {
        const { bytesRead } = await source.read(buffer, 0, CHUNK, at)
        if (bytesRead === 0) return at - begun
        at += bytesRead
        await target.writeFile(filter.push(buffer.subarray(0, bytesRead)))
      }
    }
    await copy()
    await replace(target, temporary, file)
    // Whoever has the old file open may have written to it meanwhile.
    const until = Date.now() + LONGEST_WAIT_MS
    let quietSince = Date.now()
    while (Date.now() < until) {
      if ((await copy()) > 0) quietSince = Date.now()
      if (Date.now() - quietSince >= (isLive ? QUIET_MS : 0)) break
      await new Promise((wake) => setTimeout(wake, POLL_MS))
    }
    await target.writeFile(filter.end())
    await target.sync()
  } finally {
    await target.close()
  }
}

/** With the rights of the old one; appended to, since the gateway may be writing to it as well. */
async function create(path: string, like: FileHandle): Promise<FileHandle> {
  const { mode, uid, gid } = await like.stat()
  const target = await open(path, 'ax', mode & 0o777)
  await target.chmod(mode & 0o777)
  const own = await target.stat()
  if (own.uid !== uid || own.gid !== gid) {
    try {
      await target.chown(uid, gid)
    } catch (error) {
      await target.close()
      throw new CommandError(
        `the new file cannot be given to the owner of the old one: ${(error as Error).message}`,
        'run it as the user that runs the gateway, or as root',
      )
    }
  }
  return target
}

async function replace(target: FileHandle, temporary: string, file: string): Promise<void> {
  await target.sync()
  await rename(temporary, file)
  const folder = await open(dirname(file), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

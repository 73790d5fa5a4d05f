/**
 * One process at a time tends a folder. The lock is a file that names its holder; that of a process which is
 * gone is taken over: at once on the same machine, after a while when it may be on another one.
 */
import { readFileSync } from 'node:fs'
import { link, open, readFile, rename, stat, unlink, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { isMissing } from './layout.ts'

const NAME = '.lock'
/** The holder shows that it lives this often. */
const TOUCH_MS = 30_000
/** A lock of another machine that was not touched for so long has lost its holder. */
const STALE_MS = 10 * 60_000

export class FolderLock {
  readonly #path: string
  readonly #timer: NodeJS.Timeout

  private constructor(path: string) {
    this.#path = path
    this.#timer = setInterval(() => {
      const now = new Date()
      // When it cannot be touched, it cannot be written to either; that is noticed soon enough.
      utimes(path, now, now).catch(() => {})
    }, TOUCH_MS)
    this.#timer.unref()
  }

  /** @returns undefined when another process has it */
  static async take(dir: string): Promise<FolderLock | undefined> {
    const path = join(dir, NAME)
    const mine = JSON.stringify({
      host: hostname(),
      pid: process.pid,
      birth: birthOf(process.pid) ?? null,
    })
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        const handle = await open(path, 'wx', 0o640)
        await handle.writeFile(mine)
        await handle.close()
        return new FolderLock(path)
      } catch (error) {
        if (!isTaken(error)) throw error
      }
      if (!(await removeStale(path))) return undefined
    }
    return undefined
  }

  async release(): Promise<void> {
    clearInterval(this.#timer)
    await unlink(this.#path)
  }
}

/** @returns whether the lock is gone */
async function removeStale(path: string): Promise<boolean> {
  try {
    const text = await readFile(path, 'utf8')
    const { mtimeMs } = await stat(path)
    if (isHeld(text, Date.now() - mtimeMs)) return false
    // Moved away before it is removed: what another process has put there meanwhile is put back.
    const aside = `${path}.${process.pid}`
    await rename(path, aside)
    const isSame = (await readFile(aside, 'utf8')) === text
    if (!isSame) await link(aside, path)
    await unlink(aside)
    return isSame
  } catch (error) {
    if (isMissing(error)) return true
    if (isTaken(error)) return false
    throw error
  }
}

function isHeld(text: string, ageMs: number): boolean {
  let holder: { host?: unknown; pid?: unknown; birth?: unknown }
  try {
    holder = JSON.parse(text) as typeof holder
  } catch {
    // Being written, or cut by a crash.
    return ageMs < STALE_MS
  }
  if (holder.host !== hostname() || typeof holder.pid !== 'number') return ageMs < STALE_MS
  if (!isAlive(holder.pid)) return false
  // The number may have gone to another process.
  const birth = birthOf(holder.pid)
  return birth === undefined || holder.birth === birth
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Start of a process in ticks since boot, field 22 of proc(5) `stat`; undefined where there is no /proc. */
function birthOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name, in parentheses, may hold spaces.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST'
}

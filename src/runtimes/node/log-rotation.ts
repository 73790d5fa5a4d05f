/**
 * Rotation and retention of the access log: one process renames the file when its time or size has come, and
 * deletes what is older than it may be. Writers follow the name by themselves (`log-file.ts`).
 */
import { readdir, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Clock, Logger } from '../../ports.ts'

export interface RotationSettings {
  readonly file: string
  /** Files begin at multiples of this since the epoch, milliseconds. */
  readonly rotate?: number | undefined
  readonly maxSize?: number | undefined
  /** Age at which a rotated file is deleted, milliseconds. */
  readonly keep?: number | undefined
}

const TICK_MS = 5000
const STAMP = /^\.(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:-\d+)?(?:\.gz)?$/

/** `access.log` of this moment is `access.log.20261124T060000Z`. */
function stamp(time: number): string {
  return `.${new Date(time).toISOString().replace(/[-:]/g, '').slice(0, 15)}Z`
}

/** When a file of this name was rotated; undefined when it is not one of `file`. */
export function rotatedAt(file: string, name: string): number | undefined {
  const base = basename(file)
  const match = name.startsWith(base) ? STAMP.exec(name.slice(base.length)) : null
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second] = match
  return Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  )
}

/** The rotated files of `file`, oldest first. */
export async function rotatedFiles(file: string): Promise<{ path: string; at: number }[]> {
  const found: { path: string; at: number }[] = []
  for (const name of await readdir(dirname(file))) {
    const at = rotatedAt(file, name)
    if (at !== undefined) found.push({ path: join(dirname(file), name), at })
  }
  return found.sort((a, b) => a.at - b.at)
}

export class LogRotation {
  readonly #settings: RotationSettings
  readonly #clock: Clock
  readonly #log: Logger
  readonly #reopen: () => void
  #cancel: () => void = () => {}
  /** Number of the period that the file belongs to. */
  #period: number | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(settings: RotationSettings, clock: Clock, log: Logger, reopen: () => void) {
    this.#settings = settings
    this.#clock = clock
    this.#log = log
    this.#reopen = reopen
  }

  start(): void {
    const tick = () => {
      this.#running = this.tick().then(() => {
        this.#cancel = this.#clock.after(TICK_MS, tick)
      })
    }
    tick()
  }

  async stop(): Promise<void> {
    this.#cancel()
    await this.#running
    this.#cancel()
  }

  /** Does what is due. Never rejects. */
  async tick(): Promise<void> {
    try {
      if (await this.#isDue()) await this.#rotate()
      await this.#prune()
    } catch (error) {
      this.#log.error('the access log is not rotated', {
        file: this.#settings.file,
        error: error instanceof Error ? error.message : String(error),
        hint: 'see telemetry.access.output; it is tried again',
      })
    }
  }

  async #isDue(): Promise<boolean> {
    const { file, rotate, maxSize } = this.#settings
    const found = await stat(file).catch(() => undefined)
    const now = this.#clock.now()
    const current = rotate === undefined ? 0 : Math.floor(now / rotate)
    // A file that an earlier process left belongs to when it was written last.
    this.#period ??=
      found === undefined || rotate === undefined ? current : Math.floor(found.mtimeMs / rotate)
    const isOver = current > this.#period
    if (isOver) this.#period = current
    if (found === undefined || found.size === 0) return false
    return isOver || (maxSize !== undefined && found.size >= maxSize)
  }

  async #rotate(): Promise<void> {
    const { file } = this.#settings
    const base = `${file}${stamp(this.#clock.now())}`
    let target = base
    for (let i = 1; (await stat(target).catch(() => undefined)) !== undefined; i++) {
      target = `${base}-${i}`
    }
    await rename(file, target)
    this.#reopen()
    this.#log.info('the access log was rotated', { to: target })
  }

  async #prune(): Promise<void> {
    const { file, keep } = this.#settings
    if (keep === undefined) return
    const before = this.#clock.now() - keep
    const old = (await rotatedFiles(file)).filter(({ at }) => at < before)
    for (const { path } of old) {
      await unlink(path)
      this.#log.info('an old access log was deleted', { file: path })
    }
  }
}

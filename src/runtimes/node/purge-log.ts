/**
 * Purges on disk: a cache that outlives its process must not bring back what was purged before the restart.
 * One JSON line for each purge; read at the start, and rewritten then without what is too old to matter.
 */
import { appendFile, readFile, rename, writeFile } from 'node:fs/promises'
import type { PurgeEpochs } from '../../cache/purge/epochs.ts'
import type { Millis } from '../../exchange.ts'
import type { Logger } from '../../ports.ts'

export class PurgeLog {
  readonly #path: string
  readonly #log: Logger
  #pending: string[] = []
  #writing: Promise<void> | undefined

  constructor(path: string, log: Logger) {
    this.#path = path
    this.#log = log
  }

  /**
   * Applies what was noted, then notes every purge from now on.
   * @param since purges before this are forgotten: nothing stored is older
   */
  async attach(epochs: PurgeEpochs, since: Millis): Promise<void> {
    const kept: string[] = []
    for (const line of await lines(this.#path)) {
      const purge = parse(line)
      if (purge === undefined || purge.at < since) continue
      epochs.adopt(purge.name, purge.soft, purge.at)
      kept.push(line)
    }
    await writeFile(`${this.#path}.new`, kept.map((line) => `${line}\n`).join(''))
    await rename(`${this.#path}.new`, this.#path)
    epochs.onPurge((name, soft, at) => {
      this.#pending.push(JSON.stringify({ name, soft, at }))
      this.#writing ??= this.#write()
    })
  }

  /** Resolves when everything noted so far is written. */
  async flushed(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    // Purges of one turn of the event loop go out together.
    await Promise.resolve()
    while (this.#pending.length > 0) {
      const text = this.#pending.map((line) => `${line}\n`).join('')
      this.#pending = []
      try {
        await appendFile(this.#path, text)
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        this.#log.error('a purge could not be noted: it will not survive a restart', { message })
      }
    }
    this.#writing = undefined
  }
}

async function lines(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n')
  } catch {
    // The first start.
    return []
  }
}

function parse(line: string): { name: string; soft: boolean; at: number } | undefined {
  try {
    const value = JSON.parse(line) as { name?: unknown; soft?: unknown; at?: unknown }
    const { name, soft, at } = value
    return typeof name === 'string' && typeof soft === 'boolean' && typeof at === 'number'
      ? { name, soft, at }
      : undefined
  } catch {
    // Cut by a crash, or empty.
    return undefined
  }
}

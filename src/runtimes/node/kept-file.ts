/** A small file of the state directory, written whole after each change: one writing at a time, and the last one counts. */
import { access, constants, mkdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { ConfigBundle } from './config-file.ts'
import { reasonOf, replaceFile } from './replace-file.ts'

/** Undefined for a config without `state.directory`. */
export function statePath({ config, path }: ConfigBundle, name: string): string | undefined {
  const { directory } = config.state
  return directory === undefined ? undefined : join(resolve(dirname(path), directory), name)
}

/** Makes the folder of a file. @throws when it cannot be made or written to */
export async function makeFolderOf(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await access(dirname(path), constants.W_OK)
}

export class KeptFile {
  readonly path: string
  readonly #onFailed: (reason: string) => void
  #next: string | undefined
  #writing: Promise<void> | undefined

  /** @param onFailed hears why a text could not be written; the file is as it was then */
  constructor(path: string, onFailed: (reason: string) => void) {
    this.path = path
    this.#onFailed = onFailed
  }

  /** Replaces what is kept; of several changes in one moment only the last is written. */
  save(text: string): void {
    this.#next = text
    this.#writing ??= this.#write()
  }

  /** Resolves when everything so far is on disk, or could not be written. */
  async flushed(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    await Promise.resolve()
    while (this.#next !== undefined) {
      const text = this.#next
      this.#next = undefined
      try {
        await replaceFile(this.path, text)
      } catch (error) {
        this.#onFailed(reasonOf(error))
      }
    }
    this.#writing = undefined
  }
}

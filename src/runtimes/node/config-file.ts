/**
 * A config file on Node: read with everything it names, and watched.
 *
 * `fs.watch` on the folders tells quickly (editors and Kubernetes replace files and links, so watching
 * the file itself would go blind), a slow poll of size and time covers network file systems where it
 * tells nothing. What is told is only a hint: the contents decide, by hash.
 */
import { createHash } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type LoadedConfig, loadConfig } from '../../config/load.ts'
import type { SecretRef } from '../../config/values.ts'

/** Largest file that is read as text with a config. */
const MAX_FILE_BYTES = 64 * 1024 * 1024

export interface ConfigFileOptions {
  /** Where `{"env": …}` secrets come from; the process's environment by default. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Quiet time after a change before the files are read, milliseconds. */
  readonly debounceMs?: number
  /** Between two looks at the files, milliseconds; 0 turns polling off. */
  readonly pollMs?: number
}

/** A config as it was read at one moment. */
export interface ConfigBundle extends LoadedConfig {
  /** Absolute path of the config file. */
  readonly path: string
  /** Of the config file. */
  readonly text: string
  /** SHA-256 over the config, the files and the secrets it names, hex: two bundles with one hash are alike. */
  readonly hash: string
}

const NO_TEXTS: ReadonlyMap<string, string> = new Map()

export type ConfigChange = { readonly bundle: ConfigBundle } | { readonly error: Error }

/** The config file cannot be read at all. */
export class ConfigFileError extends Error {
  override readonly name = 'ConfigFileError'
  readonly path: string
  constructor(path: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.path = path
  }
}

/**
 * One config file. `load` reads it now; `watch` tells of every change that reads well, and of every one
 * that does not, while the caller goes on with what it has.
 */
export class ConfigFile {
  readonly path: string
  /** As the user named it, for messages. */
  readonly #name: string
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #debounceMs: number
  readonly #pollMs: number
  /** Absolute paths that the last read touched, and what they looked like. */
  #signatures = new Map<string, string>()
  #hash = ''

  constructor(path: string, options: ConfigFileOptions = {}) {
    this.path = resolve(path)
    this.#name = path
    this.#env = options.env ?? process.env
    this.#debounceMs = options.debounceMs ?? 100
    this.#pollMs = options.pollMs ?? 2000
  }

  /**
   * Reads the config and everything it names.
   * @throws ConfigError when it is wrong, ConfigFileError when it cannot be read
   */
  async load(): Promise<ConfigBundle> {
    const signatures = new Map<string, string>()
    try {
      const bundle = await this.#read(NO_TEXTS, signatures)
      this.#hash = bundle.hash
      return bundle
    } catch (error) {
      // Whatever reads well next is news, even the same contents as before.
      this.#hash = ''
      throw error
    } finally {
      this.#signatures = signatures
    }
  }

  /**
   * The config as it would be if some of its files held these texts; nothing is watched for it.
   * @param texts by absolute path
   * @throws ConfigError, ConfigFileError
   */
  rehearse(texts: ReadonlyMap<string, string>): Promise<ConfigBundle> {
    return this.#read(texts, new Map())
  }

  async #read(
    texts: ReadonlyMap<string, string>,
    signatures: Map<string, string>,
  ): Promise<ConfigBundle> {
    const hash = createHash('sha256')
    const folder = dirname(this.path)
    const read = async (path: string): Promise<string | undefined> => {
      const absolute = resolve(folder, path)
      signatures.set(absolute, await signature(absolute))
      const text = texts.get(absolute) ?? (await readText(absolute))
      hash.update(`${absolute}\0${text?.length ?? -1}\0${text ?? ''}\0`)
      return text
    }
    const text = await readMain(this.path, read)
    const loaded = await loadConfig(text, {
      file: this.#name,
      readFile: read,
      readSecret: async (ref: SecretRef) => {
        if ('env' in ref) {
          const value = this.#env[ref.env]
          hash.update(`${ref.env}\0${value ?? ''}\0`)
          return value
        }
        // Editors and `echo` leave a newline that is no part of a secret.
        return (await read(ref.file))?.replace(/\r?\n$/, '')
      },
    })
    return { ...loaded, path: this.path, text, hash: hash.digest('hex') }
  }

  /**
   * Watches the config and the files it named when it was last read.
   * @param onChange called for each change of contents, one at a time
   * @returns stops watching
   */
  watch(onChange: (change: ConfigChange) => void): () => void {
    const watcher = new Watch(
      () => this.#signatures,
      () => this.#reload(onChange),
      this.#debounceMs,
      this.#pollMs,
    )
    return () => watcher.close()
  }

  async #reload(onChange: (change: ConfigChange) => void): Promise<void> {
    const before = this.#hash
    let change: ConfigChange
    try {
      change = { bundle: await this.load() }
    } catch (error) {
      // Perhaps half written: if more of it comes, the next look tells.
      const seen = new Map(this.#signatures)
      await pause(this.#debounceMs)
      if (!(await stillAs(seen))) return
      change = { error: error instanceof Error ? error : new Error(String(error)) }
    }
    if ('bundle' in change && change.bundle.hash === before) return
    onChange(change)
  }
}

/** Watches files by their folders and by looking at them now and then. */
class Watch {
  readonly #signatures: () => ReadonlyMap<string, string>
  readonly #reload: () => Promise<void>
  readonly #debounceMs: number
  readonly #folders = new Map<string, FSWatcher>()
  readonly #poll: NodeJS.Timeout | undefined
  #pending: NodeJS.Timeout | undefined
  #busy = false
  #again = false
  #closed = false

  constructor(
    signatures: () => ReadonlyMap<string, string>,
    reload: () => Promise<void>,
    debounceMs: number,
    pollMs: number,
  ) {
    this.#signatures = signatures
    this.#reload = reload
    this.#debounceMs = debounceMs
    this.#watchFolders()
    if (pollMs > 0) {
      this.#poll = setInterval(() => void this.#look(), pollMs)
      this.#poll.unref()
    }
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#poll)
    clearTimeout(this.#pending)
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #watchFolders(): void {
    const wanted = new Set([...this.#signatures().keys()].map((path) => dirname(path)))
    for (const [folder, watcher] of this.#folders) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const folder of wanted) {
      if (this.#folders.has(folder)) continue
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#soon())
        // A folder that goes away, or a limit of the system: the poll still looks.
        watcher.on('error', () => watcher.close())
        this.#folders.set(folder, watcher)
      } catch {
        // The same: the poll still looks.
      }
    }
  }

  #soon(): void {
    clearTimeout(this.#pending)
    if (this.#closed) return
    this.#pending = setTimeout(() => void this.#look(), this.#debounceMs)
    this.#pending.unref()
  }

  async #look(): Promise<void> {
    if (this.#busy) {
      this.#again = true
      return
    }
    this.#busy = true
    try {
      do {
        this.#again = false
        if (await stillAs(this.#signatures())) break
        if (this.#closed) return
        await this.#reload()
        if (this.#closed) return
        this.#watchFolders()
      } while (this.#again || !(await stillAs(this.#signatures())))
    } finally {
      this.#busy = false
    }
  }
}

async function readMain(
  path: string,
  read: (path: string) => Promise<string | undefined>,
): Promise<string> {
  let text: string | undefined
  try {
    text = await read(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigFileError(path, `the config ${path} cannot be read: ${reason}`, {
      cause: error,
    })
  }
  if (text === undefined) throw new ConfigFileError(path, `there is no config file ${path}`)
  return text
}

/** UTF-8 text, or undefined when there is no such file. */
async function readText(path: string): Promise<string | undefined> {
  try {
    const info = await stat(path)
    if (info.isDirectory()) throw new Error('it is a folder')
    if (info.size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    if (codeOf(error) === 'EACCES') throw new Error('permission denied')
    throw error
  }
}

/** What changes when a file does: a replaced file has another inode, a written one another time. */
async function signature(path: string): Promise<string> {
  try {
    const info = await stat(path, { bigint: true })
    return `${info.ino} ${info.size} ${info.mtimeNs}`
  } catch (error) {
    return codeOf(error) ?? 'unreadable'
  }
}

async function stillAs(signatures: ReadonlyMap<string, string>): Promise<boolean> {
  for (const [path, before] of signatures) if ((await signature(path)) !== before) return false
  return true
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}

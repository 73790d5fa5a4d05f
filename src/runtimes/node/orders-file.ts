/**
 * What operators have ordered, on disk: a restart must not let in again whom they shut out, nor send requests to a
 * region that they drained. Written whole after each order. A file that does not hold keeps the gateway from
 * starting: who is revoked would not be known.
 */
import { access, constants, mkdir, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import * as v from 'valibot'
import { RuntimeStateSchema } from '../../admin/snapshot-routes.ts'
import type { RuntimeState } from '../../admin/state-view.ts'
import { ConfigError } from '../../config/errors.ts'
import type { Logger } from '../../ports.ts'
import type { ConfigBundle } from './config-file.ts'
import { reasonOf, replaceFile } from './replace-file.ts'

const NAME = 'orders.json'
/** Of the form of the file; a newer one is not guessed at. */
const VERSION = 1

const Saved = v.strictObject({ version: v.literal(VERSION), state: RuntimeStateSchema })

export class OrdersFile {
  readonly #path: string
  readonly #log: Logger
  #next: RuntimeState | undefined
  #writing: Promise<void> | undefined

  constructor(path: string, log: Logger) {
    this.#path = path
    this.#log = log
  }

  /** Rollouts and ejections are kept elsewhere, or found out anew. */
  save(state: RuntimeState): void {
    this.#next = { ...state, rollouts: [], ejections: [] }
    this.#writing ??= this.#write()
  }

  /** Resolves when everything so far is on disk, or could not be written. */
  async flushed(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    await Promise.resolve()
    while (this.#next !== undefined) {
      const state = this.#next
      this.#next = undefined
      try {
        await replaceFile(this.#path, `${JSON.stringify({ version: VERSION, state })}\n`)
      } catch (error) {
        this.#log.error('orders could not be kept: a restart would undo the last one', {
          file: this.#path,
          error: reasonOf(error),
        })
      }
    }
    this.#writing = undefined
  }
}

/**
 * The file of a config that has `state.directory`; undefined for others.
 * @throws ConfigError when the folder cannot be used
 */
export async function openOrdersFile(
  bundle: ConfigBundle,
  log: Logger,
): Promise<OrdersFile | undefined> {
  const path = pathOf(bundle)
  if (path === undefined) return undefined
  try {
    await mkdir(dirname(path), { recursive: true })
    await access(dirname(path), constants.W_OK)
  } catch (error) {
    throw unusable(`the folder cannot be used: ${reasonOf(error)}`)
  }
  return new OrdersFile(path, log)
}

/** @throws ConfigError for a file that does not hold */
export async function savedOrders(bundle: ConfigBundle): Promise<RuntimeState | undefined> {
  const path = pathOf(bundle)
  if (path === undefined) return undefined
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(`${path} cannot be read: ${reasonOf(error)}`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw unusable(`${path} is not JSON`)
  }
  const parsed = v.safeParse(Saved, value)
  if (parsed.success) return parsed.output.state as RuntimeState
  const [issue] = parsed.issues
  throw unusable(`${path} does not hold: ${v.getDotPath(issue) ?? ''}: ${issue.message}`)
}

function pathOf({ config, path }: ConfigBundle): string | undefined {
  const { directory } = config.state
  return directory === undefined ? undefined : join(resolve(dirname(path), directory), NAME)
}

function unusable(message: string): ConfigError {
  const hint = `it holds drains, bans and revocations: mend it, or move it away to begin without them`
  return new ConfigError([{ path: 'state.directory', message, hint }])
}

/**
 * What operators have ordered, on disk: a restart must not let in again whom they shut out, nor send requests to a
 * region that they drained. Written whole after each order. A file that does not hold keeps the gateway from
 * starting: who is revoked would not be known.
 */
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { RuntimeStateSchema } from '../../admin/snapshot-routes.ts'
import type { RuntimeState } from '../../admin/state-view.ts'
import { ConfigError } from '../../config/errors.ts'
import type { Logger } from '../../ports.ts'
import type { ConfigBundle } from './config-file.ts'
import { KeptFile, makeFolderOf, statePath } from './kept-file.ts'
import { reasonOf } from './replace-file.ts'

const NAME = 'orders.json'
/** Of the form of the file; a newer one is not guessed at. */
const VERSION = 1

const Saved = v.strictObject({ version: v.literal(VERSION), state: RuntimeStateSchema })

export class OrdersFile {
  readonly #file: KeptFile

  constructor(path: string, log: Logger) {
    this.#file = new KeptFile(path, (error) =>
      log.error('orders could not be kept: a restart would undo the last one', {
        file: path,
        error,
      }),
    )
  }

  /** Rollouts and ejections are kept elsewhere, or found out anew. */
  save(state: RuntimeState): void {
    const kept: RuntimeState = { ...state, rollouts: [], ejections: [] }
    this.#file.save(`${JSON.stringify({ version: VERSION, state: kept })}\n`)
  }

  flushed(): Promise<void> {
    return this.#file.flushed()
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
  const path = statePath(bundle, NAME)
  if (path === undefined) return undefined
  try {
    await makeFolderOf(path)
  } catch (error) {
    throw unusable(`the folder cannot be used: ${reasonOf(error)}`)
  }
  return new OrdersFile(path, log)
}

/** @throws ConfigError for a file that does not hold */
export async function savedOrders(bundle: ConfigBundle): Promise<RuntimeState | undefined> {
  const path = statePath(bundle, NAME)
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

function unusable(message: string): ConfigError {
  const hint = `it holds drains, bans and revocations: mend it, or move it away to begin without them`
  return new ConfigError([{ path: 'state.directory', message, hint }])
}

/**
 * How far rollouts are, on disk: a restart must neither undo a rollback nor send everybody back for nothing. One
 * file, written whole beside the old one and put in its place. A file that cannot be read says nothing about
 * which pool is the good one, so then nobody is sent to a new one before an operator says so.
 */
import { readFile, rename } from 'node:fs/promises'
import * as v from 'valibot'
import { ConfigError } from '../../config/errors.ts'
import type { Logger } from '../../ports.ts'
import type { SavedRollout } from '../../steering/rollouts.ts'
import type { ConfigBundle } from './config-file.ts'
import { KeptFile, makeFolderOf, statePath } from './kept-file.ts'
import { reasonOf, replaceFile } from './replace-file.ts'

const NAME = 'rollouts.json'
/** Of the form of the file; a newer one is not guessed at. */
const VERSION = 1

const percent = v.pipe(v.number(), v.minValue(0), v.maxValue(100))
const Saved = v.strictObject({
  version: v.literal(VERSION),
  rollouts: v.array(
    v.strictObject({
      rollout: v.string(),
      from: v.string(),
      to: v.string(),
      step: v.pipe(v.number(), v.integer(), v.minValue(-1)),
      percent,
      phase: v.picklist(['baking', 'done', 'rolled-back', 'frozen']),
      sinceMs: v.pipe(v.number(), v.minValue(0)),
      note: v.string(),
    }),
  ),
})

export class RolloutFile {
  /** What was in it at the start. */
  readonly saved: readonly SavedRollout[]
  readonly #file: KeptFile

  constructor(path: string, saved: readonly SavedRollout[], log: Logger) {
    this.saved = saved
    this.#file = new KeptFile(path, (error) =>
      log.error('how far rollouts are could not be kept: a restart would undo the last change', {
        file: path,
        error,
      }),
    )
  }

  save(all: readonly SavedRollout[]): void {
    this.#file.save(format(all))
  }

  flushed(): Promise<void> {
    return this.#file.flushed()
  }
}

/**
 * The file of a config that has `state.directory`; undefined for others.
 * @throws ConfigError when the folder cannot be used
 */
export async function openRolloutFile(
  bundle: ConfigBundle,
  log: Logger,
): Promise<RolloutFile | undefined> {
  const path = statePath(bundle, NAME)
  if (path === undefined) return undefined
  try {
    await makeFolderOf(path)
  } catch (error) {
    throw unusable(error)
  }
  try {
    return new RolloutFile(path, await read(path), log)
  } catch (error) {
    if (!(error instanceof Unreadable)) throw unusable(error)
    const held = heldBack(bundle)
    await rename(path, `${path}.unreadable`)
    await replaceFile(path, format(held))
    log.error('how far rollouts are cannot be read: none sends clients to its new pool', {
      file: `${path}.unreadable`,
      error: error.message,
      rollouts: held.map(({ rollout }) => rollout).join(' '),
      hint: 'begin each again with: meridian rollout advance ID',
    })
    return new RolloutFile(path, held, log)
  }
}

/** For a worker process, whose primary has opened the file. @throws ConfigError */
export async function savedRollouts(bundle: ConfigBundle): Promise<readonly SavedRollout[]> {
  const path = statePath(bundle, NAME)
  if (path === undefined) return []
  try {
    return await read(path)
  } catch (error) {
    throw unusable(error)
  }
}

class Unreadable extends Error {}

async function read(path: string): Promise<readonly SavedRollout[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Unreadable(reasonOf(error))
  }
  const { version } = Object(value) as { version?: unknown }
  if (typeof version === 'number' && version > VERSION) {
    throw new Unreadable(`a newer gateway wrote it (version ${version}, this one reads ${VERSION})`)
  }
  const parsed = v.safeParse(Saved, value)
  if (parsed.success) return parsed.output.rollouts
  const [issue] = parsed.issues
  throw new Unreadable(`${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`)
}

/** Every rollout of the config, with nobody in its new pool. */
function heldBack({ config }: ConfigBundle): SavedRollout[] {
  return config.routes.flatMap(({ id, rollout }) => {
    if (rollout === undefined) return []
    const { from, to } = rollout
    const note = 'where it was before the restart could not be read'
    return [{ rollout: id, from, to, step: -1, percent: 0, phase: 'rolled-back', sinceMs: 0, note }]
  })
}

function format(rollouts: readonly SavedRollout[]): string {
  return `${JSON.stringify({ version: VERSION, rollouts }, null, 2)}\n`
}

function unusable(error: unknown): ConfigError {
  return new ConfigError([
    {
      path: 'state.directory',
      message: `the folder cannot be used: ${reasonOf(error)}`,
      hint: 'it must be readable and writable for the user that runs the gateway',
    },
  ])
}

/** `meridian snapshot`: what a running gateway knows beyond its config, to a file and back. */
import { readFile, writeFile } from 'node:fs/promises'
import { type ControlOptions, callControl } from './control.ts'
import { CommandError, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface SnapshotOptions extends ControlOptions {
  readonly json?: boolean | undefined
}

/** Addresses and subjects stand in it. */
const FILE_MODE = 0o600

/** @param file printed when undefined */
export async function snapshotSave(
  file: string | undefined,
  options: SnapshotOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const taken = await callControl(options, terminal, '/snapshot')
  const text = `${JSON.stringify(taken, null, 2)}\n`
  if (file === undefined) {
    terminal.out(text)
    return EXIT.ok
  }
  try {
    await writeFile(file, text, { mode: FILE_MODE })
  } catch (error) {
    throw new CommandError(`${file} cannot be written: ${(error as Error).message}`, undefined, {
      cause: error,
    })
  }
  terminal.out(`saved to ${file}\n`)
  return EXIT.ok
}

export async function snapshotRestore(
  file: string,
  options: SnapshotOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  let taken: unknown
  try {
    taken = JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${(error as Error).message}`, undefined, {
      cause: error,
    })
  }
  if (typeof taken !== 'object' || taken === null) throw new CommandError(`${file} is no snapshot`)
  const answer = await callControl(options, terminal, '/snapshot', taken, {}, 'PUT')
  const { workers } = answer as { workers: number }
  if (options.json === true) terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  else terminal.out(`restored in ${workers} ${workers === 1 ? 'process' : 'processes'}\n`)
  return EXIT.ok
}

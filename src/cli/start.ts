/** `meridian start`: serves a config until SIGTERM or SIGINT. */
import { CONFIG_DEFAULT } from './config-argument.ts'
import { EXIT, type ExitCode, type Terminal, UsageError } from './terminal.ts'

export interface StartCommandOptions {
  readonly config?: string | undefined
  readonly workers?: string | undefined
}

export async function start(options: StartCommandOptions, terminal: Terminal): Promise<ExitCode> {
  const workers = parseWorkers(options.workers)
  const { startFromFile } = await import('../runtimes/node/start.ts')
  const gateway = await startFromFile(options.config ?? CONFIG_DEFAULT, { workers })
  for (const address of gateway.addresses) terminal.err(`listening on ${address}\n`)
  if (gateway.control !== undefined) terminal.err(`control port on ${gateway.control}\n`)
  return EXIT.ok
}

function parseWorkers(text: string | undefined): number | 'auto' | undefined {
  if (text === undefined || text === 'auto') return text
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (count >= 1 && count <= 256) return count
  throw new UsageError('--workers takes a number from 1 to 256, or auto')
}

/** `meridian key`: API keys for their owners, and their hashes for the config. */
import { randomBytes } from 'node:crypto'
import { apiKeyEntry, createApiKey } from '../iam/api-key.ts'
import { CommandError, EXIT, type ExitCode, type Terminal, UsageError } from './terminal.ts'

export interface KeyOptions {
  /** Name of an environment variable: a secret has no business on a command line. */
  readonly pepper?: string | undefined
  readonly json?: boolean | undefined
}

export function createKey(id: string, options: KeyOptions, terminal: Terminal): ExitCode {
  const pepper = pepperOf(options, terminal)
  let made: ReturnType<typeof createApiKey>
  try {
    made = createApiKey(id, randomBytes(32), pepper)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new UsageError(error.message)
  }
  if (options.json === true) {
    terminal.out(`${JSON.stringify(made, null, 2)}\n`)
  } else {
    terminal.out(
      `The key, for its owner. It is shown this once:\n\n  ${made.key}\n\nFor iam.apiKeys.keys:\n\n  ${JSON.stringify(made.entry)}\n`,
    )
  }
  return EXIT.ok
}

export async function hashKey(options: KeyOptions, terminal: Terminal): Promise<ExitCode> {
  const pepper = pepperOf(options, terminal)
  const text = (await terminal.input?.())?.trim() ?? ''
  const entry = apiKeyEntry(text, pepper)
  if (entry === undefined) {
    throw new CommandError(
      'the standard input holds no whole API key',
      'a key begins with mk_ and ends with a check: it may have been cut',
    )
  }
  terminal.out(`${JSON.stringify(entry)}\n`)
  return EXIT.ok
}

function pepperOf({ pepper }: KeyOptions, terminal: Terminal): string | undefined {
  if (pepper === undefined) return undefined
  const value = terminal.env[pepper]
  if (value === undefined || value === '') throw new UsageError(`${pepper} is not set`)
  return value
}

/** One place that turns whatever went wrong into a message and an exit code. */
import { ConfigError, formatProblem } from '../config/errors.ts'
import { ConfigFileError } from '../runtimes/node/config-file.ts'
import { CommandError, EXIT, type ExitCode, type Terminal, UsageError } from './terminal.ts'

/** Says what went wrong. */
export function reportFailure(error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof ConfigError) {
    const count = error.problems.length
    for (const problem of error.problems) terminal.err(`${formatProblem(problem)}\n`)
    terminal.err(`${count} ${count === 1 ? 'problem' : 'problems'}\n`)
    return EXIT.failure
  }
  const { message, hint } = describe(error)
  terminal.err(`meridian: ${message}\n`)
  if (hint !== undefined) terminal.err(`  hint: ${hint}\n`)
  return error instanceof UsageError ? EXIT.usage : EXIT.failure
}

function describe(error: unknown): { message: string; hint?: string | undefined } {
  if (!(error instanceof Error)) return { message: String(error) }
  if (error instanceof CommandError) return { message: error.message, hint: error.hint }
  if (error instanceof ConfigFileError) {
    return {
      message: error.message,
      hint: 'write one with `meridian init`, or name it with --config',
    }
  }
  const place = listenPlace(error)
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return {
        message: `${place} is already in use`,
        hint: 'stop what listens there, or choose another port',
      }
    case 'EADDRNOTAVAIL':
      return { message: `cannot listen on ${place}: no such address on this machine` }
    case 'EACCES':
      if (place !== undefined) {
        return {
          message: `not allowed to listen on ${place}`,
          hint: 'ports below 1024 need a privilege; choose one above',
        }
      }
  }
  return { message: error.message }
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** `port 8080 on 127.0.0.1`, of an error that a listening server gave. */
function listenPlace(error: Error): string | undefined {
  if (!('port' in error) || typeof error.port !== 'number') return undefined
  const address =
    'address' in error && typeof error.address === 'string' ? error.address : undefined
  return `port ${error.port}${address === undefined || address === '::' ? '' : ` on ${address}`}`
}

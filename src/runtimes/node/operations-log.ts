/** Messages for the people who run the gateway: one JSON object a line on standard error. */
import type { Logger } from '../../ports.ts'

export const operationsLog: Logger = {
  info: (message, fields) => write('info', message, fields),
  warn: (message, fields) => write('warn', message, fields),
  error: (message, fields) => write('error', message, fields),
}

function write(
  level: string,
  message: string,
  fields: Readonly<Record<string, unknown>> | undefined,
): void {
  process.stderr.write(
    `${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`,
  )
}

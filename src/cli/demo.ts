/** `meridian demo`: three regional origins and a gateway in front of them, all on this machine. */
import { EXIT, type ExitCode, UsageError } from './terminal.ts'

export interface DemoCommandOptions {
  readonly port: string
  readonly adminPort: string
  readonly traffic: string
}

export async function demo(options: DemoCommandOptions): Promise<ExitCode> {
  const port = parsePort(options.port, '--port')
  const adminPort = parsePort(options.adminPort, '--admin-port')
  const traffic = parseTraffic(options.traffic)
  const { runDemo } = await import('../runtimes/node/demo.ts')
  await runDemo({ port, adminPort, traffic })
  return EXIT.ok
}

function parsePort(text: string, flag: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1
  if (port >= 0 && port <= 65_535) return port
  throw new UsageError(`${flag} takes a port from 0 to 65535`)
}

function parseTraffic(text: string): number {
  const rate = /^\d{1,3}$/.test(text) ? Number(text) : -1
  if (rate >= 0 && rate <= 500) return rate
  throw new UsageError('--traffic takes a number of requests a second from 0 to 500')
}

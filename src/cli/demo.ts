/** `meridian demo`: three regional origins and a gateway in front of them, all on this machine. */
import { EXIT, type ExitCode, UsageError } from './terminal.ts'

/** What the Node runtime brings. */
interface DemoModule {
  /** Resolves once everything serves. Ports of the gateway and, on 127.0.0.1, of the control interface. */
  runDemo(options: { port: number; adminPort: number }): Promise<void>
}

export interface DemoCommandOptions {
  readonly port: string
  readonly adminPort: string
}

export async function demo(options: DemoCommandOptions): Promise<ExitCode> {
  const port = parsePort(options.port, '--port')
  const adminPort = parsePort(options.adminPort, '--admin-port')
  const module: string = '../runtimes/node/demo.ts'
  const { runDemo } = (await import(module)) as DemoModule
  await runDemo({ port, adminPort })
  return EXIT.ok
}

function parsePort(text: string, flag: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1
  if (port >= 0 && port <= 65_535) return port
  throw new UsageError(`${flag} takes a port from 0 to 65535`)
}

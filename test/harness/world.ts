/**
 * A gateway and its origins over real sockets: configs are written to a temporary file, every port is a
 * free one, and `close` takes everything down again.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { Logger } from '../../src/ports.ts'
import { ConfigFile } from '../../src/runtimes/node/config-file.ts'
import { type SingleGateway, startGateway } from '../../src/runtimes/node/start.ts'
import { HttpOrigin, type OriginHandler, SocketOrigin, type SocketScript } from './origin.ts'
import { until } from './wait.ts'

/** A config of which the parts that every test wants alike may be left out. */
export type TestConfig = Omit<MeridianConfigInput, 'listen'> & {
  readonly listen?: Partial<NonNullable<MeridianConfigInput['listen']>>
}

export interface LogEntry {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** One line of the access log. */
export type AccessLine = Readonly<Record<string, unknown>> & {
  readonly status: number
  readonly outcome: string
  readonly path: string
}

export class TestGateway {
  readonly running: SingleGateway
  readonly file: string
  readonly folder: string
  /** What the gateway told its people. */
  readonly log: readonly LogEntry[]
  readonly #full: (config: TestConfig) => MeridianConfigInput

  constructor(
    running: SingleGateway,
    file: string,
    folder: string,
    log: readonly LogEntry[],
    full: (config: TestConfig) => MeridianConfigInput,
  ) {
    this.running = running
    this.file = file
    this.folder = folder
    this.log = log
    this.#full = full
  }

  /** Of the first listening address. */
  get port(): number {
    return this.running.instance.ports[0] as number
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Replaces the config file, as an editor would; whether it is taken over is the gateway's business. */
  write(config: TestConfig | string): void {
    const text = typeof config === 'string' ? config : JSON.stringify(this.#full(config))
    writeFileSync(this.file, text)
  }

  /** Complete lines of the access log so far. */
  lines(): AccessLine[] {
    const text = readFileSync(join(this.folder, 'access.log'), 'utf8')
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AccessLine)
  }

  /** The access log once it has so many lines. */
  async records(count: number): Promise<AccessLine[]> {
    return until(`${count} lines in the access log`, () => {
      const lines = this.lines()
      return lines.length >= count ? lines : undefined
    })
  }

  async #control(path: string): Promise<Response> {
    return fetch(`${this.running.control}${path}`)
  }

  async status(): Promise<Record<string, unknown> & { config: { lastError: string | null } }> {
    return (await (await this.#control('/status')).json()) as never
  }

  /** Sum of the series of a metric whose labels hold all of `labels`. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const text = await (await this.#control('/metrics')).text()
    return sumOf(text, name, labels)
  }
}

/** Sum of the series of a metric in an exposition whose labels hold all of `labels`. */
export function sumOf(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  let sum = 0
  for (const line of text.split('\n')) {
    const rest = line.startsWith(name) ? line.slice(name.length) : undefined
    if (rest === undefined || (rest[0] !== '{' && rest[0] !== ' ')) continue
    const holds = Object.entries(labels).every(([key, value]) => rest.includes(`${key}="${value}"`))
    if (holds) sum += Number(rest.slice(rest.lastIndexOf(' ') + 1))
  }
  return sum
}

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'meridian-node-'))
  readonly #cleanUps: (() => unknown)[] = [
    () => rmSync(this.folder, { recursive: true, force: true }),
  ]
  #count = 0

  /** Runs when the world closes, last added first. */
  onClose(run: () => unknown): void {
    this.#cleanUps.push(run)
  }

  /** An HTTP origin that answers by `handler`. */
  async origin(handler?: OriginHandler): Promise<HttpOrigin> {
    const origin = await HttpOrigin.start(handler)
    this.onClose(() => origin.close())
    return origin
  }

  /** An origin that speaks bytes. */
  async socketOrigin(script: SocketScript): Promise<SocketOrigin> {
    const origin = await SocketOrigin.start(script)
    this.onClose(() => origin.close())
    return origin
  }

  /** Writes a file into the world's folder. */
  put(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name)
    writeFileSync(path, content)
    return path
  }

  async gateway(config: TestConfig): Promise<TestGateway> {
    const folder = mkdtempSync(join(this.folder, `gateway-${++this.#count}-`))
    const full = (part: TestConfig) => withDefaults(part, folder)
    const path = join(folder, 'meridian.json')
    writeFileSync(path, JSON.stringify(full(config)))
    const log: LogEntry[] = []
    const file = new ConfigFile(path, { debounceMs: 20, pollMs: 250 })
    const running = await startGateway(file, await file.load(), { log: logInto(log) })
    this.onClose(() => running.close())
    return new TestGateway(running, path, folder, log, full)
  }

  async close(): Promise<void> {
    for (const run of this.#cleanUps.splice(0).reverse()) await run()
  }
}

/** A world for the test that asks, closed when the test is over. */
export function world(): World {
  const made = new World()
  onTestFinished(() => made.close())
  return made
}

/**
 * The config as it is written: loopback, free ports, log into a file, no wait at the end, and no WAF, which
 * would hold bodies back until it has seen them.
 */
export function withDefaults(config: TestConfig, folder: string): MeridianConfigInput {
  const { listen, admin, shutdown, telemetry, ...rest } = config
  return {
    waf: { mode: 'off' },
    ...rest,
    listen: { addresses: [{ address: '127.0.0.1', port: 0 }], ...listen },
    admin: { port: 0, ...admin },
    shutdown: { drain: '100ms', ...shutdown },
    telemetry: {
      ...telemetry,
      access: { ...telemetry?.access, output: { file: join(folder, 'access.log') } },
    },
  }
}

function logInto(entries: LogEntry[]): Logger {
  const at =
    (level: LogEntry['level']) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      entries.push({ level, message, fields })
    }
  return { info: at('info'), warn: at('warn'), error: at('error') }
}

/** A pool of origins by URL, named `a`, `b`, … */
export function pool(
  origins: readonly { readonly url: string }[],
  more: Omit<NonNullable<MeridianConfigInput['pools']>[string], 'origins'> = {},
): NonNullable<MeridianConfigInput['pools']>[string] {
  return {
    ...more,
    origins: origins.map(({ url }, i) => ({ id: String.fromCharCode(97 + i), url })),
  }
}

/** The plainest proxy: one pool, one route. */
export function proxyTo(
  origins: readonly { readonly url: string }[],
  more: Omit<NonNullable<MeridianConfigInput['pools']>[string], 'origins'> = {},
): TestConfig {
  return { pools: { app: pool(origins, more) }, routes: [{ id: 'site', pools: ['app'] }] }
}

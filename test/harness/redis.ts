/** A real Redis server of the test's own, on a free port of loopback, with nothing kept. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { freePort } from './origin.ts'
import { until } from './wait.ts'

/** Whether there is a `redis-server`; where there is none, says once that its tests are skipped. */
export const hasRedis: boolean = (() => {
  const found = spawnSync('redis-server', ['--version']).status === 0
  if (!found) console.info('redis-server is not installed: tests that need one are skipped')
  return found
})()

export class RedisServer {
  readonly port: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'meridian-redis-'))
  readonly #args: readonly string[]
  #process: ChildProcess | undefined

  private constructor(port: number, args: readonly string[]) {
    this.port = port
    this.#args = args
  }

  /** Ended with the test. */
  static async start(...args: string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args)
    onTestFinished(async () => {
      await server.kill()
      rmSync(server.#folder, { recursive: true, force: true })
    })
    await server.restart()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Starts it again, empty, on the same port. */
  async restart(): Promise<void> {
    await this.kill()
    this.#process = spawn(
      'redis-server',
      [
        ...['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder],
        ...['--save', '', '--appendonly', 'no', ...this.#args],
      ],
      { stdio: 'ignore' },
    )
    await until('redis-server answers', () => answersPing(this.port))
  }

  /** What `redis-cli` prints for a command. */
  cli(...args: string[]): string {
    const { stdout } = spawnSync('redis-cli', ['-p', String(this.port), ...args])
    return stdout.toString().trim()
  }

  /** Hangs: connections stay, nothing is answered. */
  pause(): void {
    this.#process?.kill('SIGSTOP')
  }

  resume(): void {
    this.#process?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const process = this.#process
    this.#process = undefined
    if (process === undefined) return
    const closed = new Promise((resolve) => process.once('close', resolve))
    process.kill('SIGKILL')
    await closed
  }
}

function answersPing(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const end = (answer: true | undefined): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('data', (data) => end(/^(\+PONG|-NOAUTH)/.test(data.toString()) ? true : undefined))
    socket.on('error', () => end(undefined))
  })
}

/** Programs of the built distribution as processes of their own, ended with the test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { until, within } from './wait.ts'

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url))

export class Program {
  readonly child: ChildProcess
  out = ''
  err = ''
  #exit: { code: number | null; signal: NodeJS.Signals | null } | undefined

  constructor(script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [`${DIST}${script}`, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.out += chunk.toString()
    })
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.err += chunk.toString()
    })
    this.child.on('close', (code, signal) => {
      this.#exit = { code, signal }
    })
  }

  get pid(): number {
    return this.child.pid as number
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** A part of what it printed, by the pattern's first group, as soon as it is there. */
  async says(pattern: RegExp, deadlineMs = 20_000): Promise<string> {
    return until(
      `the program says ${pattern}`,
      () => {
        if (this.#exit !== undefined && !pattern.test(this.out + this.err)) {
          throw new Error(`it ended with ${this.#exit.code}: ${this.err}`)
        }
        return pattern.exec(this.out + this.err)?.[1]
      },
      deadlineMs,
    )
  }

  async exited(deadlineMs = 15_000): Promise<number | NodeJS.Signals | null> {
    const { code, signal } = await until('the program ends', () => this.#exit, deadlineMs)
    return code ?? signal
  }

  async end(): Promise<void> {
    if (this.#exit !== undefined) return
    this.child.kill('SIGCONT')
    this.child.kill('SIGKILL')
    await within('the program is killed', this.exited())
  }
}

/** A program of the distribution for the test that asks. */
export function program(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Program {
  const started = new Program(script, args, env)
  onTestFinished(() => started.end())
  return started
}

/** A demo origin in a process of its own, so that it can be killed or stopped. */
export async function originProcess(region: string): Promise<Program & { url: string }> {
  const started = program('runtimes/node/demo-origins.js', [region, '0'])
  const port = await started.says(/"port":(\d+)/)
  return Object.assign(started, { url: `http://127.0.0.1:${port}` })
}

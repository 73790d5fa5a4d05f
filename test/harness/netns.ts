/**
 * Another machine, as far as the network goes: a namespace with one end of a virtual cable, and addresses on it
 * that can be made to swallow everything (the sender's frames go to a hardware address that nobody has).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { onTestFinished } from 'vitest'
import { until } from './wait.ts'

const NOBODY = '02:00:00:00:00:99'
/** Answers the address that it was reached by. */
const ORIGIN =
  'require("http").createServer((q, r) => q.resume().on("end", () => r.end(q.socket.localAddress)))' +
  '.listen(Number(process.argv[1]), "0.0.0.0", () => console.log("listening"))'

function ip(...args: string[]): boolean {
  return spawnSync('ip', args, { stdio: 'ignore' }).status === 0
}

/** Whether namespaces can be made here; where they cannot, says once that their tests are skipped. */
export const hasNetns: boolean = (() => {
  const name = `mdn-probe-${process.pid}`
  const isPossible =
    process.platform === 'linux' &&
    ip('netns', 'add', name) &&
    ip('link', 'add', `mdp${process.pid}`, 'type', 'veth', 'peer', 'name', 'far0', 'netns', name)
  spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' })
  if (!isPossible) {
    console.info(
      'network namespaces need Linux, iproute2 and root: tests of black holes are skipped',
    )
  }
  return isPossible
})()

let count = 0

export class FarMachine {
  readonly #namespace: string
  readonly #near: string
  readonly #net: string
  readonly #children: ChildProcess[] = []

  private constructor(namespace: string, near: string, net: string) {
    this.#namespace = namespace
    this.#near = near
    this.#net = net
  }

  /** Gone with the test. Addresses are from 198.18.0.0/15, which is for tests of networks (RFC 2544). */
  static start(): FarMachine {
    const id = `${process.pid}${count++}`
    const third = (process.pid + count) % 256
    const machine = new FarMachine(`mdn-${id}`, `mdn${id}`.slice(0, 15), `198.18.${third}`)
    const { namespace, near, net } = machine.#names
    onTestFinished(() => machine.#stop())
    const steps = [
      ['netns', 'add', namespace],
      ['link', 'add', near, 'type', 'veth', 'peer', 'name', 'far0', 'netns', namespace],
      ['addr', 'add', `${net}.1/24`, 'dev', near],
      ['link', 'set', near, 'up'],
      ['-n', namespace, 'link', 'set', 'lo', 'up'],
      ['-n', namespace, 'link', 'set', 'far0', 'up'],
      ...[2, 3, 4].map((last) => [
        '-n',
        namespace,
        'addr',
        'add',
        `${net}.${last}/24`,
        'dev',
        'far0',
      ]),
    ]
    for (const step of steps) {
      if (!ip(...step)) throw new Error(`ip ${step.join(' ')} failed`)
    }
    return machine
  }

  get #names() {
    return { namespace: this.#namespace, near: this.#near, net: this.#net }
  }

  /** @param last 2, 3 or 4 */
  address(last: number): string {
    return `${this.#net}.${last}`
  }

  /** An origin that listens on all addresses; it answers the one that it was reached by. */
  async origin(port: number): Promise<void> {
    const child = spawn(
      'ip',
      ['netns', 'exec', this.#namespace, process.execPath, '-e', ORIGIN, String(port)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    this.#children.push(child)
    let said = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    await until('the far origin listens', () => said.includes('listening'))
  }

  /** What is sent to the address from now on is lost without a word. */
  swallow(last: number): void {
    const lost = ['neigh', 'replace', this.address(last), 'lladdr', NOBODY, 'dev', this.#near]
    if (!ip(...lost, 'nud', 'permanent')) throw new Error(`ip ${lost.join(' ')} failed`)
  }

  async #stop(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null) continue
      const closed = new Promise((resolve) => child.once('close', resolve))
      child.kill('SIGKILL')
      await closed
    }
    ip('link', 'del', this.#near)
    ip('netns', 'del', this.#namespace)
  }
}

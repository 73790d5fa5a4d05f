/** Servers under test, each in a process of its own, and the CPU time they have used. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

const START_TIMEOUT_MS = 15_000
/** A gateway drains before it ends. */
const STOP_TIMEOUT_MS = 10_000
/** USER_HZ: what /proc counts in, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

export const canMeasureCpu = process.platform === 'linux'

function peerPath(name) {
  return fileURLToPath(new URL(`../peers/${name}.mjs`, import.meta.url))
}

/** Processes that a process has started, and theirs. */
function descendants(pid) {
  const found = []
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
    for (const child of children.split(' ')) {
      if (child !== '') found.push(Number(child), ...descendants(Number(child)))
    }
  }
  return found
}

function ticks(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold anything; user and system time are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** User and system time of a process with its children, seconds. */
export function cpuSeconds(pid) {
  let sum = 0
  for (const one of [pid, ...descendants(pid)]) sum += ticks(one)
  return sum / TICKS_PER_SECOND
}

/** A port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

/** Whatever happens to the benchmark, its servers do not outlive it. */
const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

function start(args) {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let errors = ''
  child.stderr.setEncoding('utf8')
  child.stderr.on('data', (text) => {
    errors = (errors + text).slice(-4000)
  })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  return {
    child,
    exited,
    errors: () => errors.trim(),
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
      await exited
      clearTimeout(timer)
    },
  }
}

function firstLine(process) {
  return new Promise((resolve, reject) => {
    let text = ''
    process.child.stdout.setEncoding('utf8')
    process.child.stdout.on('data', (more) => {
      text += more
      const end = text.indexOf('\n')
      if (end >= 0) resolve(text.slice(0, end))
    })
    process.exited.then((code) => {
      reject(new Error(process.errors() || `exited with ${code} before it listened`))
    })
    setTimeout(() => reject(new Error('did not listen in time')), START_TIMEOUT_MS).unref()
  })
}

/** A peer of ours in `bench/peers`. */
export async function startPeer(name, args = []) {
  const process = start([peerPath(name), ...args])
  const { port } = JSON.parse(await firstLine(process))
  return { pid: process.child.pid, url: `http://127.0.0.1:${port}`, stop: process.stop }
}

/** Anything that listens on a given port sooner or later; its output is not read. */
export async function startOnPort(args, port) {
  const server = start(args)
  server.child.stdout.resume()
  const url = `http://127.0.0.1:${port}`
  let code
  server.exited.then((exit) => {
    code = exit
  })
  const deadline = Date.now() + START_TIMEOUT_MS
  while (code === undefined && Date.now() < deadline) {
    try {
      await (await fetch(url)).arrayBuffer()
      return { pid: server.child.pid, url, stop: server.stop }
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  if (code === undefined) await server.stop()
  const lines = server.errors().split('\n').slice(-3).join(' | ')
  throw new Error(lines || `did not listen in time (exit ${code})`)
}

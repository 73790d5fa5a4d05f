/** Starts workerd itself, so that nothing but a Worker is measured. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const require = createRequire(join(realpathSync(join(root, 'node_modules', 'wrangler')), 'x.js'))
const workerd = require('workerd').default
const DEADLINE_MS = 20_000

/** CPU milliseconds of a process, all threads that live. */
function cpuOf(pid) {
  let nanos = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanos += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
  }
  return nanos / 1e6
}

/**
 * Starts a Worker and asks it for some paths, one after the other.
 * @param folder   its modules are there
 * @param modules  their names; the first one is the Worker's
 * @param statuses of the answers that are expected
 * @returns CPU of the start, and of each request with its answer
 */
export async function runWorker(folder, modules, paths, statuses = [200]) {
  const config = join(folder, `${modules[0]}.capnp`)
  const list = modules.map((name) => `(name = "${name}", esModule = embed "${name}")`)
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [${list.join(', ')}],
    bindings = [(name = "PLATFORM", text = "local")],
    compatibilityDate = "2026-04-01", compatibilityFlags = ["nodejs_compat"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);
`,
  )
  const child = spawn(workerd, ['serve', config, '--control-fd=3'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  try {
    const port = await new Promise((resolve, reject) => {
      let text = ''
      child.stdio[3].on('data', (piece) => {
        text += piece
        const found = /"port":\s*(\d+)/.exec(text)
        if (found !== null) resolve(Number(found[1]))
      })
      child.once('error', reject)
      child.once('exit', () => reject(new Error('workerd does not start')))
    })
    const costs = { start: cpuOf(child.pid), asked: [] }
    for (const path of paths) {
      const before = cpuOf(child.pid)
      const response = await fetch(`http://127.0.0.1:${port}/${path}`)
      const text = await response.text()
      if (!statuses.includes(response.status)) throw new Error(`${response.status} ${text}`)
      costs.asked.push({ cpu: cpuOf(child.pid) - before, text })
    }
    return costs
  } finally {
    clearTimeout(timer)
    child.kill('SIGKILL')
    await ended
  }
}

/** Where the CPU time of a gateway went: self time by function, out of V8's own profile. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Arguments for Node that leave a profile in `folder` when the process ends by itself. */
export function profileArgs(folder) {
  return ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-interval', '500']
}

function place({ functionName, url, lineNumber }) {
  const file = url.replace(/^.*\/(dist|node_modules)\//, '$1/')
  return `${functionName || '(anonymous)'} ${file === '' ? '' : `${file}:${lineNumber + 1}`}`.trim()
}

/** The `count` functions with the most self time, as lines; idle time left out. */
export function hottest(folder, count = 30) {
  const self = new Map()
  let total = 0
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    const places = new Map(nodes.map((node) => [node.id, place(node.callFrame)]))
    samples.forEach((id, i) => {
      const name = places.get(id)
      if (name === '(idle)' || name === '(program)') return
      total += timeDeltas[i]
      self.set(name, (self.get(name) ?? 0) + timeDeltas[i])
    })
  }
  return [...self]
    .sort((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(([name, time]) => `  ${((time / total) * 100).toFixed(1).padStart(5)} %  ${name}`)
}

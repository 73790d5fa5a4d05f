/**
 * What the Worker's module costs to load, against importing hono and jose alone: CPU time of parsing and
 * running both bundles, minified, in processes of their own, taken in turn. The engine is Node's, which is
 * the one of Workers too.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workerBundle } from './lib/worker-bundle.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const ROUNDS = 7
/**
 * Times as much as hono and jose alone; it goes with the size of the code. The platform's own limit is one
 * second, several times what this is.
 */
const BUDGET = 12

const RUNTIME_MODULES = {
  name: 'runtime-module',
  setup(build) {
    build.onResolve({ filter: /^cloudflare:/ }, ({ path }) => ({ path, namespace: 'runtime' }))
    build.onLoad({ filter: /.*/, namespace: 'runtime' }, () => ({
      contents: 'export class DurableObject {}',
    }))
  },
}
const bundle = (input) => workerBundle(input, [RUNTIME_MODULES])

const folder = mkdtempSync(join(tmpdir(), 'meridian-startup-'))
try {
  const files = {
    'hono and jose': await bundle({
      stdin: {
        contents: `import { Hono } from 'hono'; import * as jose from 'jose'
          export default new Hono().get('*', (c) => c.json(Object.keys(jose)))`,
        resolveDir: root,
      },
    }),
    meridian: await bundle({ entryPoints: [join(root, 'examples/edge/worker.ts')] }),
  }
  const best = {}
  for (const [name, contents] of Object.entries(files)) {
    writeFileSync(join(folder, `${name}.mjs`), contents)
    best[name] = Number.POSITIVE_INFINITY
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of Object.keys(files)) {
      const script = `const before = process.cpuUsage()
        await import(${JSON.stringify(join(folder, `${name}.mjs`))})
        const { user, system } = process.cpuUsage(before)
        process.stdout.write(String((user + system) / 1000))`
      const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
      })
      if (run.status !== 0) throw new Error(run.stderr)
      best[name] = Math.min(best[name], Number(run.stdout))
    }
  }
  for (const [name, ms] of Object.entries(best))
    console.log(`${name.padEnd(24)}${ms.toFixed(1).padStart(8)} ms CPU`)
  const ratio = best.meridian / best['hono and jose']
  console.log(
    `${'start-up'.padEnd(24)}${ratio.toFixed(1).padStart(8)} × hono and jose, at most ${BUDGET}`,
  )
  if (ratio > BUDGET) {
    console.error('the module takes longer to start than its budget')
    process.exit(1)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/**
 * What a Worker costs to start, in workerd itself: CPU time of a process with the modules of `meridian edge build`,
 * less that of one with an empty Worker, against hono and jose alone. workerd reads every module of a Worker when
 * it starts, also those that are imported later, so this grows with the code, at the rate that is printed. Then
 * the first request, which runs the modules that it needs and compiles config and rules, and the one after it.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildEdge, readForEdge } from '../dist/cli/edge-bundle.js'
import { workerBundle } from './lib/worker-bundle.mjs'
import { runWorker } from './lib/workerd.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const ROUNDS = 9
/** Times as much as hono and jose alone; the platform's own limit is one second. */
const BUDGET = 9
/** An attack, which no origin is asked for. */
const ATTACK = '?id=1%27%20union%20select%20null--'

const folder = mkdtempSync(join(tmpdir(), 'meridian-startup-'))
try {
  for (const name of ['empty', 'alone', 'gateway']) mkdirSync(join(folder, name))
  writeFileSync(
    join(folder, 'empty', 'worker.js'),
    "export default { fetch: () => new Response('ok') }",
  )
  writeFileSync(
    join(folder, 'alone', 'worker.js'),
    await workerBundle({
      stdin: {
        contents: `import { Hono } from 'hono'; import * as jose from 'jose'
          export default new Hono().get('*', (c) => c.json(Object.keys(jose)))`,
        resolveDir: root,
      },
    }),
  )
  const { parts } = await readForEdge(join(root, 'examples/edge/meridian.json'))
  const modules = await buildEdge(parts, join(folder, 'gateway'))
  const names = [
    'worker.js',
    ...modules.map(({ name }) => name).filter((name) => name !== 'worker.js'),
  ]

  const best = { empty: {}, alone: {}, gateway: {} }
  const keep = (name, what, cpu) => {
    best[name][what] = Math.min(best[name][what] ?? Number.POSITIVE_INFINITY, cpu)
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of Object.keys(best)) {
      const files = name === 'gateway' ? names : ['worker.js']
      const { start, asked } = await runWorker(
        join(folder, name),
        files,
        [ATTACK, ATTACK],
        [200, 403],
      )
      keep(name, 'start', start)
      keep(name, 'first', asked[0].cpu)
      keep(name, 'second', asked[1].cpu)
    }
  }
  const kib = readdirSync(join(folder, 'gateway'))
    .filter((name) => name.endsWith('.js'))
    .reduce((sum, name) => sum + statSync(join(folder, 'gateway', name)).size / 1024, 0)
  const alone = best.alone.start - best.empty.start
  const gateway = best.gateway.start - best.empty.start
  const line = (what, text) => console.log(`${what.padEnd(44)}${text.padStart(8)}`)
  line('start, an empty Worker', `${best.empty.start.toFixed(1)} ms CPU`)
  line('more than that, hono and jose', `${alone.toFixed(1)} ms`)
  line('more than that, the gateway', `${gateway.toFixed(1)} ms`)
  line('  a KiB of its code, minified', `${((gateway * 1000) / kib).toFixed(0)} us`)
  line('first request', `${best.gateway.first.toFixed(1)} ms`)
  line('from nothing to the first answer', `${(gateway + best.gateway.first).toFixed(1)} ms`)
  line('second request', `${best.gateway.second.toFixed(1)} ms`)
  const ratio = gateway / alone
  line('start-up, times hono and jose', `${ratio.toFixed(1)}, at most ${BUDGET}`)
  if (ratio > BUDGET) {
    console.error('the Worker takes longer to start than its budget')
    process.exit(1)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

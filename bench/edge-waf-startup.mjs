/**
 * What the WAF costs a Worker at start-up, in workerd itself: CPU time of a workerd process that loads the
 * WAF's modules, less that of one with an empty Worker, and then of its first request, which reads and
 * compiles the default ruleset. With CRS_DIR also the imported Core Rule Set at paranoia level 1.
 *
 *   [CRS_DIR=/path/to/coreruleset] node bench/edge-waf-startup.mjs
 */
import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workerBundle } from './lib/worker-bundle.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const ROUNDS = 5
const DEADLINE_MS = 20_000

const require = createRequire(join(realpathSync(join(root, 'node_modules', 'wrangler')), 'x.js'))
const workerd = require('workerd').default

const EMPTY = "export default { fetch: () => new Response('ok') }"
const WAF = `
  import * as v from 'valibot'
  import { WafSection } from './src/config/sections/waf.ts'
  import { createEnvironment } from './src/expression/expression.ts'
  import { scoreSubject } from './src/waf/detect/score-subject.ts'
  import { DETECTORS } from './src/waf/detectors.ts'
  import { Waf } from './src/waf/waf.ts'
  import managed from './rules/managed.json'
  import crs from 'bench:crs'

  export default {
    fetch(request) {
      const name = new URL(request.url).pathname.slice(1)
      if (name === '') return new Response('ok')
      const problems = []
      const section = { rulesets: [name === 'crs' ? { file: 'crs' } : name] }
      const waf = new Waf(v.parse(WafSection, section), [undefined], {
        environment: createEnvironment(),
        detectors: DETECTORS,
        builtIn: () => managed,
        files: new Map([['crs', crs]]),
        score: scoreSubject,
      }, (path, message) => problems.push(path + ': ' + message))
      const rules = waf.native.length + (waf.engine?.ruleCount ?? 0)
      return problems.length > 0
        ? new Response(problems.join('; '), { status: 500 })
        : new Response(String(rules))
    },
  }`

/** The Core Rule Set as `meridian rules import crs` writes it; empty without one. */
async function importedCrs(dir) {
  if (dir === undefined || !existsSync(dir)) return ''
  // biome-ignore lint/correctness/useImportExtensions: it has no declarations
  const { importCrs } = await import('../test/conformance/crs-suite.mjs')
  const { importSeclang } = await import('../dist/waf/seclang/import.js')
  return JSON.stringify(importCrs({ importSeclang }, dir).ruleset)
}

function bundle(contents, crs) {
  const text = {
    name: 'crs',
    setup(build) {
      build.onResolve({ filter: /^bench:crs$/ }, ({ path }) => ({ path, namespace: 'crs' }))
      build.onLoad({ filter: /.*/, namespace: 'crs' }, () => ({ contents: crs, loader: 'text' }))
    },
  }
  return workerBundle({ stdin: { contents, resolveDir: root, loader: 'ts' } }, [text])
}

/** CPU milliseconds of a process, all threads that live. */
function cpuOf(pid) {
  let nanos = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanos += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
  }
  return nanos / 1e6
}

/** Starts workerd with one module and asks it for some paths. @returns CPU of the start and of each */
async function run(folder, name, paths) {
  const config = join(folder, `${name}.capnp`)
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "main.mjs", esModule = embed "${name}.mjs")],
    compatibilityDate = "2026-04-01", compatibilityFlags = ["nodejs_compat"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);
`,
  )
  const child = spawn(workerd, ['serve', config, '--control-fd=3'], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
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
    const ask = async (path) => {
      const response = await fetch(`http://127.0.0.1:${port}/${path}`)
      const text = await response.text()
      if (response.status !== 200) throw new Error(text)
      return text
    }
    await ask('')
    const costs = { start: { cpu: cpuOf(child.pid) } }
    for (const path of paths) {
      const before = cpuOf(child.pid)
      const rules = await ask(path)
      costs[path] = { cpu: cpuOf(child.pid) - before, rules }
    }
    return costs
  } finally {
    clearTimeout(timer)
    child.kill('SIGKILL')
    await ended
  }
}

const folder = mkdtempSync(join(tmpdir(), 'meridian-waf-startup-'))
try {
  const crs = await importedCrs(process.env.CRS_DIR)
  writeFileSync(join(folder, 'empty.mjs'), await bundle(EMPTY, ''))
  writeFileSync(join(folder, 'waf.mjs'), await bundle(WAF, crs))
  const best = {}
  for (let round = 0; round < ROUNDS; round++) {
    const empty = await run(folder, 'empty', [])
    // A process for each, since the first one warms what the second one needs.
    const managed = await run(folder, 'waf', ['managed'])
    const others = crs === '' ? {} : await run(folder, 'waf', ['crs'])
    const seen = {
      'empty Worker': empty.start,
      'with the WAF': managed.start,
      managed: managed.managed,
    }
    if (crs !== '') seen.crs = others.crs
    for (const [name, cost] of Object.entries(seen)) {
      if (cost.cpu < (best[name]?.cpu ?? Number.POSITIVE_INFINITY)) best[name] = cost
    }
  }
  const line = (what, ms) => console.log(`${what.padEnd(44)}${ms.toFixed(1).padStart(8)} ms CPU`)
  line('workerd with an empty Worker', best['empty Worker'].cpu)
  line(
    'loading the WAF modules, more than that',
    best['with the WAF'].cpu - best['empty Worker'].cpu,
  )
  line(`compiling managed, ${best.managed.rules} rules`, best.managed.cpu)
  if (best.crs !== undefined) line(`compiling the CRS, ${best.crs.rules} rules left`, best.crs.cpu)
  else console.log('CRS: skipped, CRS_DIR names no folder of the OWASP Core Rule Set')
} finally {
  rmSync(folder, { recursive: true, force: true })
}

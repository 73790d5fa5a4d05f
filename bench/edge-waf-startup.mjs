/**
 * What the WAF costs a Worker at start-up, in workerd itself: CPU time of a workerd process that loads the
 * WAF's modules, less that of one with an empty Worker, and then of its first request, which reads and
 * compiles the default ruleset. With CRS_DIR also the imported Core Rule Set at paranoia level 1.
 *
 *   [CRS_DIR=/path/to/coreruleset] node bench/edge-waf-startup.mjs
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workerBundle } from './lib/worker-bundle.mjs'
import { runWorker } from './lib/workerd.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const ROUNDS = 5

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
        areTested: true,
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

const folder = mkdtempSync(join(tmpdir(), 'meridian-waf-startup-'))
try {
  const crs = await importedCrs(process.env.CRS_DIR)
  writeFileSync(join(folder, 'empty.mjs'), await bundle(EMPTY, ''))
  writeFileSync(join(folder, 'waf.mjs'), await bundle(WAF, crs))
  const best = {}
  for (let round = 0; round < ROUNDS; round++) {
    // The first path is for the isolate itself; a process for each, since one warms what the next one needs.
    const empty = await runWorker(folder, ['empty.mjs'], [''])
    const managed = await runWorker(folder, ['waf.mjs'], ['', 'managed'])
    const seen = {
      'empty Worker': { cpu: empty.start + empty.asked[0].cpu },
      'with the WAF': { cpu: managed.start + managed.asked[0].cpu },
      managed: managed.asked[1],
    }
    if (crs !== '') seen.crs = (await runWorker(folder, ['waf.mjs'], ['', 'crs'])).asked[1]
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
  line(`compiling managed, ${best.managed.text} rules`, best.managed.cpu)
  if (best.crs !== undefined) line(`compiling the CRS, ${best.crs.text} rules left`, best.crs.cpu)
  else console.log('CRS: skipped, CRS_DIR names no folder of the OWASP Core Rule Set')
} finally {
  rmSync(folder, { recursive: true, force: true })
}

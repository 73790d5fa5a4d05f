/**
 * Runs the CRS regression suite against the built engine: `npm run conformance:crs`, with CRS_DIR naming a
 * folder of the Core Rule Set. Closes with `stages P/T`; fails on a deviation that is not listed.
 */
import { existsSync, readFileSync } from 'node:fs'
import { vet } from '../../dist/http/front.js'
import { PROBLEMS } from '../../dist/http/problem.js'
import { DETECTORS } from '../../dist/waf/detectors.js'
import { Engine } from '../../dist/waf/engine/engine.js'
import { logLine } from '../../dist/waf/engine/log-line.js'
import { importSeclang } from '../../dist/waf/seclang/import.js'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { makeEngine, readStages, runStage } from './crs-suite.mjs'

const dir = process.env.CRS_DIR
if (dir === undefined || !existsSync(dir)) {
  console.log('skipped: CRS_DIR names no folder of the OWASP Core Rule Set')
  process.exit(0)
}
const listed = JSON.parse(readFileSync(new URL('crs-deviations.json', import.meta.url), 'utf8'))
const modules = { importSeclang, Engine, logLine, vet, problems: PROBLEMS, detectors: DETECTORS }
const engine = makeEngine(modules, dir)
const stages = readStages(dir)
const lines = []
let unlisted = 0
for (const view of ['fetch', 'raw']) {
  const known = new Map(listed[view].map(({ stage, reason }) => [stage, reason]))
  let passed = 0
  for (const stage of stages) {
    const { reasons } = runStage(modules, engine, stage, view)
    if (reasons.length === 0) passed++
    else {
      if (!known.has(stage.id)) unlisted++
      console.log(`${view} ${stage.id}: ${reasons.join('; ')}`)
      console.log(`  ${known.get(stage.id) ?? 'NOT LISTED in crs-deviations.json'}`)
    }
  }
  lines.push([view, passed])
}
const [[, fetchPassed], [, rawPassed]] = lines
console.log(`as a Worker sees requests: stages ${fetchPassed}/${stages.length}`)
console.log(`stages ${rawPassed}/${stages.length}`)
process.exitCode = unlisted === 0 ? 0 : 1

/**
 * The OWASP Core Rule Set's regression suite, in process. CRS_DIR names the folder; without it the suite is
 * skipped, since neither rules nor tests are part of this repository.
 */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { vet } from '../../src/http/front.ts'
import { PROBLEMS } from '../../src/http/problem.ts'
import { DETECTORS } from '../../src/waf/detectors.ts'
import { Engine } from '../../src/waf/engine/engine.ts'
import { logLine } from '../../src/waf/engine/log-line.ts'
import { importSeclang } from '../../src/waf/seclang/import.ts'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import * as suite from './crs-suite.mjs'

const dir = process.env.CRS_DIR ?? ''
const isHere = existsSync(dir)
const modules = { importSeclang, Engine, logLine, vet, problems: PROBLEMS, detectors: DETECTORS }

describe.skipIf(!isHere)('the CRS regression suite (CRS_DIR)', () => {
  const listed: Record<suite.View, suite.Deviation[]> = JSON.parse(
    readFileSync(new URL('crs-deviations.json', import.meta.url), 'utf8'),
  )
  const imported = isHere ? suite.importCrs(modules, dir) : undefined
  // Through JSON text, as a user's file would come.
  const ruleset: unknown = JSON.parse(JSON.stringify(imported?.ruleset ?? null))

  it('imports every directive, with what it ignores named', () => {
    expect(imported?.ruleset.rules.length).toBeGreaterThan(500)
    expect(Object.fromEntries(imported?.ignored ?? [])).toEqual({ initcol: 2 })
  })

  it.each([
    ['raw', 0.9984],
    ['fetch', 0.9968],
  ] as const)(
    'passes in the %s view, but for what is listed',
    (view, share) => {
      const engine = suite.makeEngine(modules, dir, { ruleset })
      const stages = suite.readStages(dir)
      const failed = stages
        .map((stage) => suite.runStage(modules, engine, stage, view))
        .filter((result) => result.reasons.length > 0)
      expect(stages.length).toBeGreaterThan(1000)
      expect(failed.map(({ id }) => id).sort()).toEqual(listed[view].map((d) => d.stage).sort())
      expect((stages.length - failed.length) / stages.length).toBeGreaterThanOrEqual(share)
    },
    120_000,
  )
})

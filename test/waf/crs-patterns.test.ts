/** Every pattern of the Core Rule Set, held against re2js on texts that nearly match it. Needs CRS_DIR. */
import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
import { oracle, Random, text, textNear } from '../../src/expression/regex/oracle.fixture.ts'
import { importSeclang } from '../../src/waf/seclang/import.ts'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import * as suite from '../conformance/crs-suite.mjs'

const dir = process.env.CRS_DIR ?? ''
const TEXTS = Number(process.env.REGEX_TEXTS ?? 20)

it.skipIf(!existsSync(dir))(
  'answers as re2js does',
  () => {
    const patterns = new Set<string>()
    for (const rule of suite.importCrs({ importSeclang }, dir).ruleset.rules) {
      if ('marker' in rule) continue
      for (const { operator } of [rule, ...(rule.chain ?? [])]) {
        if (operator.name === 'rx') patterns.add(operator.argument ?? '')
      }
    }
    expect(patterns.size).toBeGreaterThan(250)
    const random = new Random(4406)
    let matched = 0
    for (const source of patterns) {
      const { ask } = oracle(source, { dotAll: true })
      if (ask === undefined) throw new Error(`refused: ${source}`)
      for (let i = 0; i < TEXTS; i++) {
        const bytes = i % 5 === 0 ? text(random, 30) : textNear(source, random)
        const { ours, theirs } = ask(bytes)
        if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
          expect([source, bytes, ours]).toEqual([source, bytes, theirs])
        }
        if (JSON.stringify(theirs).includes('true')) matched++
      }
    }
    expect(matched).toBeGreaterThan((patterns.size * TEXTS) / 50)
  },
  3_600_000,
)

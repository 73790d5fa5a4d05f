/** Rulesets as `meridian edge build` puts them into a Worker: smaller, and to the same effect. */
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { withoutUnused } from '../../src/cli/edge-rules.ts'
import { parseConfig } from '../../src/config/load.ts'
import { createEnvironment } from '../../src/expression/expression.ts'
import { DETECTORS } from '../../src/waf/detectors.ts'
import { type SeclangRuleset, SeclangRulesetSchema } from '../../src/waf/engine/rule-schema.ts'
import { importSeclang } from '../../src/waf/seclang/import.ts'
import { Waf } from '../../src/waf/waf.ts'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { importCrs } from '../conformance/crs-suite.mjs'

const RULES = `
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:1,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@pmFromFile many.data" "id:2,phase:2,block"
SecRule ARGS "@rx b" "id:3,phase:2,block"
SecMarker END
SecRule ARGS "@pmFromFile few.data" "id:4,phase:2,block"`

const crs = process.env.CRS_DIR

function configOf(waf: object, route: object = {}) {
  return parseConfig(
    JSON.stringify({
      pools: { app: { origins: [{ url: 'https://eu.example' }] } },
      waf: { rulesets: [{ file: 'own.json' }], ...waf },
      routes: [{ pools: ['app'], ...route }],
    }),
  )
}

function wafOf(config: ReturnType<typeof configOf>, text: string): Waf {
  const problems: string[] = []
  const waf = new Waf(
    config.waf,
    config.routes.map((route) => route.waf),
    {
      environment: createEnvironment(),
      detectors: DETECTORS,
      builtIn: () => undefined,
      files: new Map([['own.json', text]]),
    },
    (path, message) => problems.push(`${path}: ${message}`),
  )
  expect(problems).toEqual([])
  return waf
}

function imported(text: string, lists: Readonly<Record<string, string>>): string {
  const files = [{ name: 'own.conf', text }]
  return JSON.stringify(importSeclang({ name: 'own', files, data: (name) => lists[name] }).ruleset)
}

const idsIn = (text: string) =>
  v
    .parse(SeclangRulesetSchema, JSON.parse(text))
    .rules.flatMap((rule) => ('marker' in rule ? [] : [rule.id]))

describe('an imported ruleset', () => {
  const text = imported(RULES, {
    'many.data': 'one\ntwo\n',
    'few.data': 'three\n',
  })
  const listsOf = (of: string) => Object.keys((JSON.parse(of) as SeclangRuleset).lists ?? {})

  it('loses the rules above the paranoia level, and the lists that only they read', () => {
    const config = configOf({})
    const less = withoutUnused(text, config, wafOf(config, text))
    expect(idsIn(less)).toEqual([1, 4])
    expect(listsOf(text)).toHaveLength(2)
    expect(listsOf(less)).toHaveLength(1)
    expect(wafOf(config, less).engine?.ruleCount).toBe(wafOf(config, text).engine?.ruleCount)
  })

  it.each([
    ['waf', configOf({ exceptions: [{ ids: ['2'] }] })],
    ['a route', configOf({}, { waf: { exceptions: [{ ids: ['2-3'] }] } })],
  ])('keeps what an exception of %s names', (_, config) => {
    const less = withoutUnused(text, config, wafOf(config, text))
    expect(idsIn(less)).toContain(2)
    wafOf(config, less)
  })

  it('keeps everything at a level that comes to everything', () => {
    const config = configOf({ crs: { paranoiaLevel: 2 } })
    expect(idsIn(withoutUnused(text, config, wafOf(config, text)))).toEqual([2, 3, 4])
  })

  it('is left alone when it is native', () => {
    const config = configOf({})
    const own = '{"ruleset":"own","rules":[]}'
    expect(withoutUnused(own, config, wafOf(config, text))).toBe(own)
  })
})

describe.skipIf(crs === undefined)('the Core Rule Set', () => {
  it.each([1, 2, 3, 4])('compiles to the same rules at paranoia level %i', (paranoiaLevel) => {
    const text = JSON.stringify(importCrs({ importSeclang }, crs as string).ruleset)
    const config = configOf({ crs: { paranoiaLevel } })
    const whole = wafOf(config, text)
    const less = withoutUnused(text, config, whole)
    const phasesOf = ({ engine }: Waf) =>
      [1, 2, 3, 4, 5].map((phase) => engine?.phases[phase as 1].map(({ id }) => id))
    expect(phasesOf(wafOf(config, less))).toEqual(phasesOf(whole))
    if (paranoiaLevel === 1) expect(less.length).toBeLessThan(0.8 * text.length)
  })
})

/**
 * No input makes the WAF slow: time grows in proportion to the input, for single patterns and for the whole
 * engine, on what makes backtracking matchers explode. CPU time, best of several runs, so that a busy
 * machine does not matter; of the built modules as they are, since the test runner's own loader makes every
 * call between modules slower and some inputs have more of those than others.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { REQUESTS } from '../../bench/waf-requests.mjs'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import * as suite from '../conformance/crs-suite.mjs'
import { cost, settled } from '../harness/cpu-time.ts'

const built = createRequire(import.meta.url)
const { LinearRegex }: typeof import('../../src/expression/regex/linear.ts') = built(
  '../../dist/expression/regex/linear.js',
)
const { vet }: typeof import('../../src/http/front.ts') = built('../../dist/http/front.js')
const { PROBLEMS }: typeof import('../../src/http/problem.ts') = built('../../dist/http/problem.js')
const { DETECTORS }: typeof import('../../src/waf/detectors.ts') = built(
  '../../dist/waf/detectors.js',
)
const { Engine }: typeof import('../../src/waf/engine/engine.ts') = built(
  '../../dist/waf/engine/engine.js',
)
const { logLine }: typeof import('../../src/waf/engine/log-line.ts') = built(
  '../../dist/waf/engine/log-line.js',
)
const { importSeclang }: typeof import('../../src/waf/seclang/import.ts') = built(
  '../../dist/waf/seclang/import.js',
)

const RUNS: Readonly<Record<string, string>> = {
  newlines: '\n',
  quotes: `'"\``,
  braces: '{(',
  slashes: '/',
  spaces: ' ',
  comments: '/**/--',
  letters: 'a',
  assignments: `a='b" c=`,
  words: 'select or <scr ${',
}

function fill(text: string, length: number): string {
  return text.repeat(Math.ceil(length / text.length)).slice(0, length)
}

let seed = 42
function random(length: number): string {
  let text = ''
  for (let i = 0; i < length; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    text += String.fromCharCode((seed >> 16) & 255)
  }
  return text
}

/** Below this, the clock and the collector decide, not the input. */
const NOISE_MS = 4

/** Growth of the second doubling over the first, by the larger sizes. */
function growth(half: number, whole: number): number {
  return whole < NOISE_MS ? 1 : whole / Math.max(half, NOISE_MS / 2)
}

// Both too long for backtracking, so that one way of finding groups is held against itself.
const SIZES = [65_600, 131_072] as const

const dir = process.env.CRS_DIR ?? ''
const isHere = existsSync(dir)
const modules = { importSeclang, Engine, logLine, vet, problems: PROBLEMS, detectors: DETECTORS }

/** Patterns whose cost explodes under backtracking. */
const HOSTILE = [
  '(a+)+$',
  '(?:a|aa)+$',
  '^(?:[^"]*"[^"]*")*x',
  '\\s*\\n\\s*\\n\\s*x',
  '(?:.*=.*,.*)+;',
  '(?i)(?:\\(.*\\)\\s*)*\\{.*\\}x',
]

function patterns(): string[] {
  const found = new Set(HOSTILE)
  if (!isHere) return [...found]
  for (const rule of suite.importCrs(modules, dir).ruleset.rules) {
    if ('marker' in rule) continue
    for (const { operator } of [rule, ...(rule.chain ?? [])]) {
      if (operator.name === 'rx') found.add(operator.argument ?? '')
    }
  }
  return [...found]
}

/** What seems to grow too fast over one doubling has to over the next one too: the texts differ. */
const BEYOND = 2 * SIZES[1]
const noise = random(BEYOND)

describe('time grows in proportion to the input', () => {
  const inputs = Object.entries({ ...RUNS, random: '' }).map(([name, text]) => ({
    name,
    texts: [...SIZES, BEYOND].map((size) =>
      text === '' ? noise.slice(0, size) : fill(text, size),
    ),
  }))

  it('for every pattern, questions and captures', () => {
    const slow: string[] = []
    for (const pattern of patterns()) {
      const regex = new LinearRegex(pattern, { dotAll: true })
      for (const { name, texts } of inputs) {
        const [half, whole, twice] = texts as [string, string, string]
        const ask = (text: string) => () => {
          if (regex.test(text)) regex.capture(text)
        }
        // A first look spares the repeats for the many that are quick.
        if (cost(ask(whole), 1) < NOISE_MS * 2) continue
        // Where only the longer text matches, the two are different questions.
        const isSame = regex.test(half) === regex.test(whole)
        const isBad = (short = 0, long = 0) => (isSame && growth(short, long) > 2.5) || long > 400
        const costs = settled([ask(half), ask(whole)], 5, isBad)
        if (isBad(...costs) && isBad(...settled([ask(whole), ask(twice)], 5, isBad))) {
          slow.push(`${pattern.slice(0, 60)} on ${name}: ${costs.map((ms) => ms.toFixed(1))} ms`)
        }
      }
    }
    expect(slow).toEqual([])
  }, 240_000)

  it.skipIf(!isHere)(
    'for the whole engine, and a large field costs less than 50 requests',
    () => {
      const settings = new Map([
        ['blocking_paranoia_level', '1'],
        ['detection_paranoia_level', '1'],
      ])
      const engine = suite.makeEngine(modules, dir, { settings })
      const run = (target: string, headers: string[], body: string) => {
        const tx = engine.begin({
          method: body === '' ? 'GET' : 'POST',
          target,
          protocol: 'HTTP/1.1',
          headers,
          remoteAddress: '192.0.2.1',
          id: 'growth',
        })
        tx.run(1)
        tx.message.setBody(body, false)
        tx.refresh()
        tx.run(2)
        tx.run(5)
        expect(tx.isExhausted).toBe(false)
        engine.end(tx)
      }
      const benign = () => {
        for (const { target, headers, body } of REQUESTS) run(target, headers, body)
      }
      for (let i = 0; i < 10; i++) benign()

      const slow: string[] = []
      for (const [name, text] of Object.entries(RUNS)) {
        const [half, whole] = [SIZES[0] / 2, SIZES[1]].map((size) => {
          const body = `field=${fill(encodeURIComponent(text), size - 6)}`
          const headers = ['Host', 'x', 'Content-Type', 'application/x-www-form-urlencoded']
          return () => run('/', headers, body)
        }) as [() => void, () => void]
        const fifty = (all: number) => (all / REQUESTS.length) * 50
        const isBad = (short = 0, long = 0, all = 0) =>
          growth(short, long) > 2.5 ** 2 || long > fifty(all)
        const costs = settled([half, whole, benign], 24, isBad)
        if (isBad(...costs)) {
          slow.push(`${name}, all requests: ${costs.map((ms) => ms.toFixed(1))} ms`)
        }
      }
      expect(slow).toEqual([])
    },
    120_000,
  )
})

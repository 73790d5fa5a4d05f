/**
 * No input makes the WAF slow: time grows in proportion to the input, for single patterns and for the whole
 * engine, on what makes backtracking matchers explode. CPU time, best of several runs, so that a busy
 * machine does not matter.
 */
import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { REQUESTS } from '../../bench/waf-requests.mjs'
import { LinearRegex } from '../../src/expression/regex/linear.ts'
import { vet } from '../../src/http/front.ts'
import { PROBLEMS } from '../../src/http/problem.ts'
import { DETECTORS } from '../../src/waf/detectors.ts'
import { Engine } from '../../src/waf/engine/engine.ts'
import { logLine } from '../../src/waf/engine/log-line.ts'
import { importSeclang } from '../../src/waf/seclang/import.ts'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import * as suite from '../conformance/crs-suite.mjs'

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

/** CPU milliseconds, the best of `runs`. */
function cost(work: () => void, runs = 5): number {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < runs; i++) {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}

/** Below this, the clock and the collector decide, not the input. */
const NOISE_MS = 4

/** Growth of the second doubling over the first, by the larger sizes. */
function growth(costs: readonly [number, number]): number {
  const [half, whole] = costs
  return whole < NOISE_MS ? 1 : whole / Math.max(half, NOISE_MS / 2)
}

// Above 64 KiB: there re2js takes another engine for captures, and one engine is to be held against itself.
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

const noise = random(SIZES[1])

// It holds times against times: a busy machine can spoil one run, but what grows too fast does so in every run.
describe('time grows in proportion to the input', { retry: 3 }, () => {
  const inputs = Object.entries({ ...RUNS, random: '' }).map(([name, text]) => ({
    name,
    texts: SIZES.map((size) => (text === '' ? noise.slice(0, size) : fill(text, size))),
  }))

  it('for every pattern, questions and captures', () => {
    const slow: string[] = []
    for (const pattern of patterns()) {
      const regex = new LinearRegex(pattern, { dotAll: true })
      for (const { name, texts } of inputs) {
        const [half, whole] = texts as [string, string]
        // A first look spares the repeats for the many that are quick.
        const ask = (text: string, runs?: number) =>
          cost(() => {
            if (regex.test(text)) regex.capture(text)
          }, runs)
        if (ask(whole, 1) < NOISE_MS * 2) continue
        const costs = [ask(half), ask(whole)] as const
        // Where only the longer text matches, the two are different questions.
        const isSame = regex.test(half) === regex.test(whole)
        if ((isSame && growth(costs) > 2.5) || costs[1] > 400) {
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
      const fifty = (cost(benign, 30) / REQUESTS.length) * 50

      const slow: string[] = []
      for (const [name, text] of Object.entries(RUNS)) {
        const costs = [SIZES[0] / 2, SIZES[1]].map((size) => {
          const body = `field=${fill(encodeURIComponent(text), size - 6)}`
          const headers = ['Host', 'x', 'Content-Type', 'application/x-www-form-urlencoded']
          return cost(() => run('/', headers, body), 24)
        }) as [number, number]
        // A busy machine slows the long run more than the short ones it is held against.
        const isOver = costs[1] > fifty * 1.3
        if (growth(costs) > 2.5 ** 2 || isOver) {
          slow.push(
            `${name}: ${costs.map((ms) => ms.toFixed(1))} ms, 50 requests ${fifty.toFixed(1)}`,
          )
        }
      }
      expect(slow).toEqual([])
    },
    120_000,
  )
})

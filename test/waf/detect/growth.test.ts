/**
 * Time of the whole classification on runs of what makes scanners backtrack: it must grow with the length,
 * not with its square. CPU time, best of runs, since the machine is not ours alone.
 */
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { settled } from '../../harness/cpu-time.ts'

// The built modules as they are: the test runner's loader makes every call between modules slower.
const built = createRequire(import.meta.url)
const { classify }: typeof import('../../../src/waf/detect/classify.ts') = built(
  '../../../dist/waf/detect/classify.js',
)
const { findLeaks }: typeof import('../../../src/waf/detect/leak.ts') = built(
  '../../../dist/waf/detect/leak.js',
)

const KIB = 1024
/** Time may grow by this factor when the length doubles. */
const GROWTH = 2.5
/** Below this, CPU milliseconds, a growth says nothing. */
const NOISE = 4

const UNITS: Record<string, string> = {
  newline: '\n',
  quote: "'",
  'double quote': '"',
  slash: '/',
  backslash: '\\',
  brace: '{',
  'closing brace': '}',
  parenthesis: '(',
  space: ' ',
  'open comment': '/*',
  comment: '/**/',
  dashes: '--',
  'less than': '<',
  'open markup comment': '<!--',
  'markup comment': '<!---->',
  tag: '<a b=c ',
  style: 'style="/*" ',
  handler: 'onload=a ',
  percent: '%25',
  reference: '&#0',
  semicolon: ';',
  steps: '../',
  'back quote': '`',
  dollar: "$'",
  template: '{{a(',
  letter: 'a',
  base64: 'QUJD',
  condition: "' or ",
  select: 'union select ',
  'JSON strings': '"a",',
  URL: 'http://',
  escape: '\\u0041',
  filter: '*)(',
  line: '\r\nx:',
}

function run(unit: string, length: number): string {
  return unit.repeat(Math.ceil(length / unit.length)).slice(0, length)
}

function random(length: number): string {
  let seed = 7
  let text = ''
  for (let i = 0; i < length; i++) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    text += String.fromCharCode((seed >> 16) & 255)
  }
  return text
}

function look(text: string): () => void {
  return () => {
    classify(text, 'body')
    findLeaks(text)
  }
}

describe('growth', () => {
  const cases: [string, (length: number) => string][] = Object.entries(UNITS).map(
    ([name, unit]) => [name, (length) => run(unit, length)],
  )
  cases.push(['random', random])
  it.each(cases)('%s: linear up to 128 KiB', (_name, text) => {
    const isBad = (half = 0, whole = 0) => whole > Math.max(NOISE, half) * GROWTH
    const costs = settled([look(text(64 * KIB)), look(text(128 * KIB))], 3, isBad)
    expect(isBad(...costs), `CPU milliseconds: ${costs}`).toBe(false)
  })
})

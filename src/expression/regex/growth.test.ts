/** What makes backtracking explode costs steps in proportion to the text here, and memory stays bounded. */
import { describe, expect, it } from 'vitest'
import { Automaton, MOST_ENTRIES, MOST_MEMBERS } from './automaton.ts'
import { Captures } from './captures.ts'
import { compileTree } from './program.ts'
import { parseRegex } from './re2-tree.ts'

function fill(unit: string, length: number): string {
  return unit.repeat(Math.ceil(length / unit.length)).slice(0, length)
}

let seed = 7
function noise(length: number, letters: string): string {
  let text = ''
  while (text.length < length) {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    text += letters.charAt((seed >> 16) % letters.length)
  }
  return text
}

const noisy = noise(32_768, 'ab')
const COUNT = 'x{1,500}'
/** Its automaton has a state for each set of places where an a stood: more than any table holds. */
const MANY_STATES = '(?:a|b)*a(?:a|b){40}c'

const NASTY: readonly (readonly [string, (length: number) => string])[] = [
  ['((a*)*)*b', (n) => fill('a', n)],
  ['(a|aa)*c', (n) => fill('a', n)],
  ['(?:a?){40}a{40}c', (n) => fill('a', n)],
  [`${COUNT}y`, (n) => fill('x', n)],
  [`(${COUNT}){2}z|(x|y)*w`, (n) => fill('xxxy', n)],
  ['(.*)(.*)(.*)(.*)(.*)[^a]$', (n) => fill('a', n)],
  ['\\s*\\n\\s*\\n\\s*x', (n) => fill('\n', n)],
  ['(?:\\b\\w+\\b\\s*)+$(?m:^x)', (n) => fill('ab ', n)],
  [MANY_STATES, (n) => noisy.slice(0, n)],
]

/** Instructions looked at, and each byte. */
function steps(pattern: string, text: string): Record<string, number> {
  const program = compileTree(parseRegex(pattern))
  const automaton = new Automaton(program)
  automaton.test(text)
  const simulated = new Captures(program)
  simulated.simulate(text)
  const backtracked = new Captures(program)
  backtracked.backtrack(text)
  return {
    automaton: automaton.work + text.length,
    simulation: simulated.work + text.length,
    backtracking: backtracked.work + text.length,
  }
}

describe('steps grow in proportion to the text', () => {
  it.each(NASTY)('%s', (pattern, textOf) => {
    const { length } = compileTree(parseRegex(pattern)).ops
    let before = steps(pattern, textOf(2048))
    for (const size of [4096, 8192]) {
      const now = steps(pattern, textOf(size))
      for (const [engine, count] of Object.entries(now)) {
        expect(count / (before[engine] as number), `${engine} at ${size}`).toBeLessThan(2.3)
        expect(count, `${engine} at ${size}`).toBeLessThan(4 * (length + 1) * (size + 1))
      }
      before = now
    }
  })
})

describe('the table', () => {
  it('starts anew when it is full, and gives way to simulation where it would only fill again', () => {
    const program = compileTree(parseRegex(MANY_STATES))
    const automaton = new Automaton(program)
    for (let round = 0; round < 4; round++) {
      expect(automaton.test(noisy)).toBe(false)
      const { entries, members } = automaton.size
      expect(entries).toBeLessThanOrEqual(MOST_ENTRIES)
      // It was given up, and nothing was learnt after that.
      expect(members).toBe(0)
    }
    const match = `a${'ab'.repeat(20)}c`
    expect(automaton.test(noisy + match)).toBe(true)
    expect(automaton.test(noisy.replaceAll('a', 'b') + match)).toBe(true)
    expect(automaton.test(`${noisy}db${match.slice(1)}`)).toBe(false)
  })

  it('says the same while it starts anew again and again', () => {
    const automaton = new Automaton(compileTree(parseRegex('a[ab]{14}c')))
    let restarts = 0
    let before = 0
    for (let i = 0; i < 3000; i++) {
      const text = `${noise(60, 'ab')}${noise(1, 'bc')}${noise(3, 'abc')}`
      expect(automaton.test(text)).toBe(/a[ab]{14}c/.test(text))
      const { entries, members } = automaton.size
      expect(entries).toBeLessThanOrEqual(MOST_ENTRIES)
      expect(members).toBeLessThanOrEqual(MOST_MEMBERS)
      if (members < before) restarts++
      before = members
    }
    expect(restarts).toBeGreaterThan(2)
  })
})

describe('before it is asked', () => {
  it('is nothing compiled', async () => {
    const { LinearRegex } = await import('./linear.ts')
    expect(() => new LinearRegex('(')).not.toThrow()
    expect(() => new LinearRegex('(').test('')).toThrow('never closed')
    expect(new LinearRegex('a*').work).toBe(0)
  })
})

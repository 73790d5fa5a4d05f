/**
 * Held against re2js: patterns out of RE2's whole syntax, texts of bytes. REGEX_CASES sets the number of
 * patterns, REGEX_SEED another sequence.
 */
import { describe, expect, it } from 'vitest'
import { oracle, pattern, Random, text } from './oracle.fixture.ts'
import { RegexError } from './regex-error.ts'
import { translateRegex } from './rust-syntax.ts'

const CASES = Number(process.env.REGEX_CASES ?? 3000)
const SEED = Number(process.env.REGEX_SEED ?? 20261124)
const TEXTS = 10

describe('as re2js', () => {
  it('accepts the same patterns, matches the same texts, finds the same groups', () => {
    const random = new Random(SEED)
    const seen = { refused: 0, matched: 0, unmatched: 0 }
    for (let i = 0; i < CASES; i++) {
      const source = pattern(random)
      const options = { dotAll: random.below(4) === 0, ignoreCase: random.below(4) === 0 }
      const { ask } = oracle(source, options)
      if (ask === undefined) {
        seen.refused++
        continue
      }
      for (let n = 0; n < TEXTS; n++) {
        const bytes = text(random)
        const { ours, theirs } = ask(bytes)
        if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
          expect([source, options, bytes, ours]).toEqual([source, options, bytes, theirs])
        }
        if (JSON.stringify(theirs).includes('true')) seen.matched++
        else seen.unmatched++
      }
    }
    expect(seen.refused).toBeGreaterThan(CASES / 100)
    expect(seen.refused).toBeLessThan(CASES / 2)
    expect(Math.min(seen.matched, seen.unmatched)).toBeGreaterThan(CASES)
  }, 3_600_000)

  it('reads what the rules language writes', () => {
    const random = new Random(SEED + 1)
    let asked = 0
    for (let i = 0; i < CASES / 4; i++) {
      let source: string
      try {
        source = translateRegex(pattern(random)).pattern
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(RegexError)
        continue
      }
      const { ask } = oracle(source)
      for (let n = 0; n < TEXTS; n++) {
        const bytes = text(random)
        const { ours, theirs } = ask?.(bytes) ?? { ours: 'refused', theirs: undefined }
        if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
          expect([source, bytes, ours]).toEqual([source, bytes, theirs])
        }
        asked++
      }
    }
    expect(asked).toBeGreaterThan(CASES / 2)
  }, 3_600_000)
})

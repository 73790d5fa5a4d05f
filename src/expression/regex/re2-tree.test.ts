import { describe, expect, it } from 'vitest'
import { compileTree } from './program.ts'
import { MOST_INSTRUCTIONS, parseRegex } from './re2-tree.ts'
import { RegexError } from './regex-error.ts'

function problem(pattern: string): string {
  try {
    parseRegex(pattern)
  } catch (error) {
    expect(error).toBeInstanceOf(RegexError)
    const { offset, message } = error as RegexError
    return `${offset}: ${message}`
  }
  return 'accepted'
}

describe('refused', () => {
  it.each([
    ['a(?!b)', '1: look-around cannot be matched in linear time and is not supported'],
    ['(?<=a)b', '0: look-around cannot be matched in linear time and is not supported'],
    ['(a)\\1', '3: back-references cannot be matched in linear time and are not supported'],
    ['(a', '0: this group is never closed'],
    ['a)', '1: unexpected )'],
    ['x[a', '1: this class is never closed'],
    ['[b-a]', '4: this range runs backwards'],
    ['[[:foo:]]', '1: unknown class [:foo:]'],
    ['a**', '2: a quantifier follows another'],
    ['|*', '1: nothing to repeat before *'],
    ['a{2,1}', '1: a count goes up, and to 1000 at most'],
    ['(?:a{100}){11}', '10: counts inside counts multiply to more than 1000'],
    ['\\', '0: a pattern cannot end in a backslash'],
    ['a\\y', '1: unknown escape \\y'],
    ['\\p{Foo}', '0: unknown Unicode class'],
    ['(?z)', '0: unknown flag or group (?'],
    ['(?P<n>a)(?P<n>b)', '8: the group name n is used twice'],
    ['(?P<>a)', '0: a group name is expected: (?P<name>…)'],
    [`${'('.repeat(1001)}${')'.repeat(1001)}`, '1000: this regular expression nests too deeply'],
    ['(?:[ab]{1000}){1}'.repeat(60), '0: this regular expression is too large'],
  ])('%s', (pattern, expected) => {
    expect(problem(pattern)).toBe(expected)
  })
})

describe('a program', () => {
  it('is never larger than the tree was allowed to be', () => {
    const { ops } = compileTree(parseRegex('(?:[ab]c?){1000}'.repeat(9)))
    expect(ops.length).toBeLessThanOrEqual(MOST_INSTRUCTIONS)
  })

  it('of a deep tree is written', () => {
    const pattern = `${'(?:a|'.repeat(1000)}b${')*'.repeat(1000)}`
    expect(compileTree(parseRegex(pattern)).ops.length).toBeGreaterThan(1000)
  })

  it('writes equal endings and equal beginnings once', () => {
    const count = (pattern: string) => compileTree(parseRegex(pattern)).ops.length
    expect(count('abcxyz|abdxyz')).toBe(count('ab(?:c|d)xyz'))
  })

  it('knows what a match begins with', () => {
    const of = (pattern: string) => {
      const { prefix, isAnchored, first } = compileTree(parseRegex(pattern))
      return [prefix, isAnchored, first === undefined]
    }
    expect(of('abc+|abd')).toEqual(['ab', false, false])
    expect(of('(?:^a|^b)c')).toEqual(['', true, false])
    expect(of('^a|b')).toEqual(['', false, false])
    expect(of('(?m)^a')).toEqual(['', false, false])
    expect(of('a*')).toEqual(['', false, true])
    expect(of('^$')).toEqual(['', true, true])
  })
})

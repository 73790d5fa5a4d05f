import fc from 'fast-check'
import { RE2JS } from 're2js'
import { describe, expect, it } from 'vitest'
import { cost } from '../../../test/harness/cpu-time.ts'
import { needsOf } from './needs.ts'
import { Prefilter } from './prefilter.ts'
import { byteRegex, RegexError } from './regex.ts'
import { translateRegex } from './rust-syntax.ts'

const ALL_BYTES = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i))

/** The single bytes that a pattern matches whole. */
function bytesOf(pattern: string): number[] {
  const regex = byteRegex(`^(?:${pattern})$`)
  return [...ALL_BYTES].flatMap((byte, i) => (regex.test(byte) ? [i] : []))
}

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i)

describe('bytes that a pattern matches', () => {
  it.each<[string, number[]]>([
    ['.', range(0, 255).filter((byte) => byte !== 10)],
    ['(?s).', range(0, 255)],
    ['(?s:.)', range(0, 255)],
    ['\\s', [9, 10, 11, 12, 13, 32]],
    ['\\d', range(48, 57)],
    ['\\D', range(0, 255).filter((byte) => byte < 48 || byte > 57)],
    ['[\\w-]', [45, ...range(48, 57), ...range(65, 90), 95, ...range(97, 122)]],
    ['[^\\x00-\\xfe]', [255]],
    ['[^\\x00-\\xff]', []],
    ['\\xe9', [0xe9]],
    ['(?i)\\xe9', [0xe9]],
    ['(?i)[\\xe9]', [0xe9]],
    ['(?i)[^\\xe9]', range(0, 255).filter((byte) => byte !== 0xe9)],
    ['(?i)k', [75, 107]],
    ['(?i)[k]', [75, 107]],
    ['(?i)[^k]', range(0, 255).filter((byte) => byte !== 75 && byte !== 107)],
    ['(?i:k)', [75, 107]],
    ['(?i)(?-i)k', [107]],
    ['(?i)(?-i:k)', [107]],
    ['(?:(?i)k)|k', [75, 107]],
    ['[[:alpha:]&&[^a-y]]', [...range(65, 90), 122]],
    ['[a-e--[bd]]', [97, 99, 101]],
    ['[a-c~~b-d]', [97, 100]],
    ['[]]', [93]],
    ['[^]]', range(0, 255).filter((byte) => byte !== 93)],
    ['[a-]', [45, 97]],
    ['[-a]', [45, 97]],
    ['[[:^digit:]&&[:punct:]&&[^!-/]]', [...range(58, 64), ...range(91, 96), ...range(123, 126)]],
    ['[\\]\\[\\\\]', [91, 92, 93]],
    ['[\\b]', [8]],
    ['\\x{7f}', [127]],
    ['\\u0041', [65]],
    ['\\a|\\f|\\t|\\n|\\r|\\v', [7, 9, 10, 11, 12, 13]],
    ['\\-|\\/|\\"|\\#', [34, 35, 45, 47]],
    ['(?x) a | b # either\n', [97, 98]],
    ['(?x:[ a b ])', [97, 98]],
    ['{', [123]],
    ['a{1}', [97]],
    ['a{1,}', [97]],
    ['a**', [97]],
    ['(?P<n>a)|(?<m>b)', [97, 98]],
  ])('%s', (pattern, expected) => {
    expect(bytesOf(pattern)).toEqual(expected)
  })
})

describe('texts', () => {
  it.each([
    ['ü', '\xc3\xbc', true],
    ['ü', '\xfc', false],
    ['^ü+$', '\xc3\xbc\xc3\xbc', true],
    ['\\x{fc}', '\xc3\xbc', true],
    ['\\xfc', '\xc3\xbc', false],
    ['(?i)Ü', '\xc3\xbc', false],
    ['\\bcat\\b', 'a cat.', true],
    ['\\bcat\\b', 'concat', false],
    ['^b', 'a\nb', false],
    ['(?m)^b', 'a\nb', true],
    ['a$', 'a\n', false],
    ['(?m)a$', 'a\n', true],
    ['a\\z', 'a', true],
    ['(?U)^a+$', 'aaa', true],
    ['(a|)(b|)$', '', true],
    ['(?i)union\\s+select', 'x UNION\vSeLeCt', true],
  ] as const)('%s on %j: %s', (pattern, text, expected) => {
    expect(byteRegex(pattern).test(text)).toBe(expected)
  })

  it('finds groups', () => {
    const found = byteRegex('(b+)(c)?').exec('aabbd')
    expect(found?.index).toBe(2)
    expect([...(found?.groups ?? [])]).toEqual(['bb', 'bb', undefined])
    expect(byteRegex('(a)(?:b)(?<n>c)').groups).toBe(2)
  })
})

describe('refused', () => {
  it.each([
    ['(?=a)', 0],
    ['a(?<!b)', 1],
    ['(a)\\1', 3],
    ['\\pL', 0],
    ['(?u)a', 0],
    ['[é]', 1],
    ['a)', 1],
    ['(a', 0],
    ['[a', 0],
    ['a{2000}', 1],
    ['(a{100}){100}', 13],
    ['((a{10}){10}){11}', 17],
    ['a{3,2}', 1],
    ['a{,2}', 1],
    ['+a', 0],
    ['a|*', 2],
    ['\\', 0],
    ['\\y', 0],
    ['\\b{start}', 0],
    ['(?<a>x)(?<a>y)', 10],
    ['(?z)', 0],
    ['[[:foo:]]', 1],
    ['\\xg0', 0],
    ['\\x{110000}', 0],
    ['a+++++', 6],
  ] as const)('%s at %i', (pattern, offset) => {
    try {
      translateRegex(pattern)
    } catch (error) {
      expect(error).toBeInstanceOf(RegexError)
      expect((error as RegexError).offset).toBe(offset)
      return
    }
    throw new Error('accepted')
  })
})

/** Patterns of what both engines know, over few letters so that they match often. */
const patterns = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(
      'a',
      'b',
      'c',
      '.',
      '\\d',
      '\\w',
      '[ab]',
      '[^a]',
      '\\b',
      '^',
      '$',
      '[a-c]',
      'A',
    ),
    fc.tuple(tie('pattern'), tie('pattern')).map(([x, y]) => x + y),
    fc.tuple(tie('pattern'), tie('pattern')).map(([x, y]) => `(?:${x}|${y})`),
    fc
      .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '{0,2}', '{2}', '*?', '+?'))
      .map(([x, q]) => `(?:${x})${q}`),
    tie('pattern').map((x) => `(${x})`),
  ),
})).pattern

describe('properties', () => {
  it('agrees with the regular expressions of JavaScript where these mean the same', () => {
    fc.assert(
      fc.property(
        patterns,
        fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'A', '1', ' ', '\n'), maxLength: 8 }),
        fc.boolean(),
        (pattern, text, isFolded) => {
          const expected = new RegExp(pattern, isFolded ? 'i' : '').test(text)
          expect(byteRegex(isFolded ? `(?i)${pattern}` : pattern).test(text)).toBe(expected)
        },
      ),
      { numRuns: 800 },
    )
  })

  it('builds whatever it accepts', () => {
    const pieces = fc.constantFrom(
      ...'()[]{}|*+?^$.\\-&~:aA9é ,<>=!#\n\xff',
      '(?i)',
      '(?x)',
      '(?:',
      '(?P<n>',
      '[^',
      '[[:alpha:]]',
      '{2,3}',
      '{1000}',
      '{9}',
      '\\d',
      '\\b',
      '\\xff',
      '&&',
      '--',
      '~~',
      '(?-i:',
      '(?s-U)',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        let regex: ReturnType<typeof byteRegex>
        try {
          regex = byteRegex(parts.join(''))
        } catch (error) {
          expect(error).toBeInstanceOf(RegexError)
          return
        }
        expect(typeof regex.test('aA9 \xe9')).toBe('boolean')
      }),
      { numRuns: 2500 },
    )
  })

  it('says with its prefilter and its automaton what re2js says alone', () => {
    const pieces = fc.constantFrom(
      'ab',
      'union',
      '\\s+',
      '[^a]',
      '\\xe9',
      'É',
      '[b\\xe9]',
      '[\'"]',
      '(?i)',
    )
    const wild = fc.letrec<{ pattern: string }>((tie) => ({
      pattern: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        pieces,
        patterns,
        fc.tuple(tie('pattern'), tie('pattern')).map(([x, y]) => x + y),
        fc
          .array(tie('pattern'), { minLength: 2, maxLength: 4 })
          .map((all) => `(?:${all.join('|')})`),
        fc
          .tuple(tie('pattern'), fc.constantFrom('?', '+', '{2,3}'))
          .map(([x, q]) => `(?:${x})${q}`),
      ),
    })).pattern
    const texts = fc
      .array(
        fc.constantFrom(
          'ab',
          'UNION',
          'unio',
          'n',
          ' ',
          '\xe9',
          '\xc9',
          '\xc3\x89',
          "'",
          'A',
          'b',
          '1',
          '\n',
        ),
        {
          maxLength: 8,
        },
      )
      .map((parts) => parts.join(''))
    let passed = 0
    let skipped = 0
    fc.assert(
      fc.property(wild, fc.array(texts, { minLength: 4, maxLength: 4 }), (pattern, all) => {
        const { pattern: re2 } = translateRegex(pattern)
        const alone = RE2JS.compile(re2)
        const prefilter = new Prefilter(needsOf(re2))
        const regex = byteRegex(pattern)
        for (const text of all) {
          const expected = alone.test(text)
          expect([pattern, text, regex.test(text)]).toEqual([pattern, text, expected])
          expect(regex.exec(text) !== undefined).toBe(expected)
          if (prefilter.mayMatch(text)) passed++
          else skipped++
        }
      }),
      { numRuns: 1500 },
    )
    // A prefilter that lets everything through would say the same.
    expect(Math.min(passed, skipped)).toBeGreaterThan(500)
  })

  it('takes linear time on what makes backtracking explode', () => {
    const regex = byteRegex('(a+)+$|(a|aa)+b|(.*)(.*)(.*)x')
    const time = (length: number) => {
      const text = `${'a'.repeat(length)}!`
      return cost(() => regex.test(text))
    }
    time(1000)
    expect(time(64_000) / time(16_000)).toBeLessThan(12)
  })
})

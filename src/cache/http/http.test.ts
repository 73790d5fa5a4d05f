import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCacheControl, parseTargetedControl } from './cache-control.ts'
import { formatHttpDate, parseHttpDate } from './date.ts'
import { matchesAny, strongMatch } from './entity-tag.ts'
import { parseContentRange, planRange } from './range.ts'
import { parseDictionary, parseList, parseStringList } from './structured.ts'
import { normalEncoding, normalLanguage, parseVary, prefersLanguage } from './vary.ts'

const NOW = Date.UTC(2026, 10, 24)

describe('HTTP-date (RFC 9110 §5.6.7)', () => {
  it.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Sunday, 06-Nov-94 08:49:37 GMT', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Sun Nov  6 08:49:37 1994', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Sun Nov 16 08:49:37 1994', Date.UTC(1994, 10, 16, 8, 49, 37)],
    ['THU, 18 AUG 2050 02:01:18 gmt', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['Thursday, 18-Aug-50 02:01:18 GMT', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['Friday, 18-Aug-77 02:01:18 GMT', Date.UTC(1977, 7, 18, 2, 1, 18)],
    ['Sat, 29 Feb 2020 00:00:00 GMT', Date.UTC(2020, 1, 29)],
  ])('reads %s', (text, time) => {
    expect(parseHttpDate(text, NOW)).toBe(time)
  })

  it.each([
    '',
    '0',
    'Thu, 18 Aug 2050 02:01:18 UTC',
    'Thu, 18 Aug 2050 02:01:18 AEST',
    'Thu, 18 Aug 50 02:01:18 GMT',
    'Thu 18 Aug 2050 02:01:18 GMT',
    'Thu, 18  Aug  2050 02:01:18 GMT',
    'Thu, 18-Aug-2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 02.01.18 GMT',
    'Thu, 18 Aug 2050 2:01:18 GMT',
    'Thu, 31 Feb 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 24:01:18 GMT',
    'Xyz, 18 Aug 2050 02:01:18 GMT',
    'unday, 06-Nov-94 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT ',
  ])('refuses %j', (text) => {
    expect(parseHttpDate(text, NOW)).toBeNaN()
  })

  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
        expect(parseHttpDate(formatHttpDate(seconds * 1000), NOW)).toBe(seconds * 1000)
      }),
    )
  })
})

describe('Cache-Control', () => {
  it.each([
    ['max-age=3600', { maxAge: 3600 }],
    ['MaX-aGe=3600, No-StOrE', { maxAge: 3600, noStore: true }],
    ['max-age="3600"', { maxAge: 3600 }],
    ['extension="max-age=3600", max-age=1', { maxAge: 1 }],
    ['max-age=1, extension="no-store, max-age=3600"', { maxAge: 1, noStore: false }],
    ['max-age=1800, max-age=1', { maxAge: 1800 }],
    ['max-age=003600', { maxAge: 3600 }],
    ['max-age=3600.5', { maxAge: 0 }],
    ['max-age=-1', { maxAge: 0 }],
    ['max-age=a3600', { maxAge: 0 }],
    ['max-age =3600', { maxAge: 0 }],
    ["max-age='3600'", { maxAge: 0 }],
    ['max-age', { maxAge: 0 }],
    ['max-age=99999999999999999999', { maxAge: 2_147_483_648 }],
    ['no-cache="Set-Cookie, A"', { noCache: false, noCacheFields: ['set-cookie', 'a'] }],
    ['private="x", private', { private: true, privateFields: ['x'] }],
    ['max-stale', { maxStale: Number.POSITIVE_INFINITY }],
    [',,  public ,, s-maxage=5', { public: true, sMaxAge: 5 }],
    ['stale-while-revalidate=5, stale-if-error=6', { staleWhileRevalidate: 5, staleIfError: 6 }],
    ['foo="unclosed, no-store', { noStore: false }],
    ['', { maxAge: -1, noStore: false }],
  ])('%j', (text, expected) => {
    expect(parseCacheControl(text)).toMatchObject(expected)
  })

  it('never throws and never reads a number above the cap', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const control = parseCacheControl(text)
        expect(control.maxAge).toBeLessThanOrEqual(2_147_483_648)
      }),
    )
  })

  it.each([
    ['max-age=60', { maxAge: 60 }],
    ['max-age=99999999999', { maxAge: 2_147_483_648 }],
    ['foobar, max-age=60', { maxAge: 60 }],
    ['no-store;p=1, must-revalidate', { noStore: true, mustRevalidate: true }],
    ['max-age=10000, &&&&&', undefined],
    ['max-age="10000"', undefined],
    ['MaX-aGe=3600', undefined],
    ['max-age =100', undefined],
    ['max-age=-1', undefined],
    ['', undefined],
  ])('targeted (RFC 9213) %j', (text, expected) => {
    const control = parseTargetedControl(text)
    if (expected === undefined) expect(control).toBeUndefined()
    else expect(control).toMatchObject(expected)
  })
})

describe('structured fields (RFC 9651)', () => {
  it('reads every kind of item', () => {
    const found = parseDictionary(
      'a=1, b=-2.5, c="x\\"y", d=tok/en, e=:aGk=:, f=?0, g, h=@1659578233, i=%"f%c3%bc", j=("a" "b");p=1',
    )
    expect([...(found ?? new Map()).values()]).toEqual([
      { kind: 'integer', value: 1 },
      { kind: 'decimal', value: -2.5 },
      { kind: 'string', value: 'x"y' },
      { kind: 'token', value: 'tok/en' },
      { kind: 'bytes', value: 'aGk=' },
      { kind: 'boolean', value: false },
      { kind: 'boolean', value: true },
      { kind: 'date', value: 1_659_578_233 },
      { kind: 'display', value: 'fü' },
      {
        kind: 'list',
        value: [
          { kind: 'string', value: 'a' },
          { kind: 'string', value: 'b' },
        ],
      },
    ])
  })

  it.each([
    'a=',
    'a=1,',
    'A=1',
    'a=1 b=2',
    'a="\u0007"',
    'a=(1 2',
    'a=1.2345',
    'a=?2',
    '=1',
    'a=%"%zz"',
  ])('refuses the dictionary %j', (text) => {
    expect(parseDictionary(text)).toBeUndefined()
  })

  it('reads lists and the strings among them', () => {
    expect(parseList('"a", b;x=1, (1 2)')).toHaveLength(3)
    expect(parseList('"a",')).toBeUndefined()
    expect(parseStringList('"one", two, "three"')).toEqual(['one', 'three'])
  })
})

describe('entity tags', () => {
  it.each([
    ['"a"', '"a"', true],
    ['W/"a"', '"a"', true],
    ['"x", "a" , "y"', 'W/"a"', true],
    ['*', undefined, true],
    ['"b"', '"a"', false],
    ['"a,b"', '"a,b"', true],
    ['"b", a', '"a"', false],
    ['abc', 'abc', true],
    ['"a"', undefined, false],
    ['"unclosed', '"unclosed"', false],
  ])('If-None-Match %s against %s', (list, stored, expected) => {
    expect(matchesAny(list, stored)).toBe(expected)
  })

  it('compares strongly only what is strong', () => {
    expect(strongMatch('"a"', '"a"')).toBe(true)
    expect(strongMatch('W/"a"', 'W/"a"')).toBe(false)
  })
})

describe('ranges (RFC 9110 §14)', () => {
  it.each([
    ['bytes=0-1', [[0, 1]]],
    ['bytes=5-', [[5, 9]]],
    ['bytes=-3', [[7, 9]]],
    ['bytes=-30', [[0, 9]]],
    ['bytes=0-99', [[0, 9]]],
    [
      'Bytes= 0-1 , 4-5',
      [
        [0, 1],
        [4, 5],
      ],
    ],
    ['bytes=0-1,20-30', [[0, 1]]],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-4', 'ignore'],
    ['bytes=a-b', 'ignore'],
    ['lines=0-1', 'ignore'],
    ['bytes=0-5,3-8', 'ignore'],
    ['bytes=0-0,1-1,2-2,3-3,4-4', 'ignore'],
    ['bytes=', 'ignore'],
    ['bytes=99999999999999999999-', 'ignore'],
  ])('%s of ten bytes', (value, expected) => {
    const plan = planRange(value, 10, 4)
    if (plan.kind !== 'spans') expect(plan.kind).toBe(expected)
    else expect(plan.spans.map((span) => [span.first, span.last])).toEqual(expected)
  })

  it.each([
    ['bytes 0-4/10', { first: 0, last: 4, total: 10 }],
    ['bytes 0-4/*', { first: 0, last: 4, total: -1 }],
    ['bytes 5-4/10', undefined],
    ['bytes 0-10/10', undefined],
    ['bytes */10', undefined],
    ['0-4/10', undefined],
  ])('Content-Range %s', (value, expected) => {
    expect(parseContentRange(value)).toEqual(expected)
  })

  it('stays inside the representation', () => {
    fc.assert(
      fc.property(
        fc.nat(50),
        fc.string({ unit: fc.constantFrom(...'0123456789-, ') }),
        (total, text) => {
          const plan = planRange(`bytes=${text}`, total, 8)
          if (plan.kind !== 'spans') return
          for (const span of plan.spans) {
            expect(span.first).toBeGreaterThanOrEqual(0)
            expect(span.first).toBeLessThanOrEqual(span.last)
            expect(span.last).toBeLessThan(total)
          }
        },
      ),
    )
  })
})

describe('Vary', () => {
  it.each([
    ['Foo, BAR ,foo', ['bar', 'foo']],
    ['*', undefined],
    ['Foo, *', undefined],
    [', ', []],
  ])('%s', (value, expected) => {
    expect(parseVary(value)).toEqual(expected)
  })

  it.each([
    ['gzip, deflate, br, zstd', 'zstd, br, gzip, deflate'],
    ['br;q=0, gzip;q=0.5', 'gzip'],
    ['*', 'zstd, br, gzip, deflate'],
    ['*;q=0', 'identity;q=0'],
    ['x-gzip, identity;q=0', 'gzip, identity;q=0'],
    ['made-up', ''],
  ])('Accept-Encoding %s', (value, expected) => {
    expect(normalEncoding(value)).toBe(expected)
  })

  it('sees languages without order, case and space', () => {
    expect(normalLanguage('en, de')).toBe(normalLanguage(' De ,EN'))
    expect(normalLanguage('en;q=0.5, de')).not.toBe(normalLanguage('en, de;q=0.5'))
    expect(prefersLanguage('fr;q=0.5, de;q=1.0', 'de')).toBe(true)
    expect(prefersLanguage('fr, de;q=0.9', 'de')).toBe(false)
    expect(prefersLanguage('fr, de', 'de, en')).toBe(false)
  })
})

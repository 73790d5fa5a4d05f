import { describe, expect, it } from 'vitest'
import { inspect, wafOf } from '../waf.fixture.ts'
import { invalidity } from './validity.ts'

const FORM = 'application/x-www-form-urlencoded'
const JSON_TYPE = 'application/json'
const MULTI = 'multipart/form-data; boundary=b'

const part = (disposition: string, content = 'x') =>
  `--b\r\nContent-Disposition: ${disposition}\r\n\r\n${content}\r\n`
const multi = (...parts: string[]) => `${parts.join('')}--b--\r\n`

const why = (contentTypes: string | string[], bytes: string, isTruncated = false) =>
  invalidity(
    { contentTypes: [contentTypes].flat(), bytes, isTruncated },
    { arguments: 3, depth: 3, parts: 3 },
  )

describe('bodies that are what they say', () => {
  it.each([
    [[], '{"a":1'],
    ['text/plain', '{"a":1'],
    ['application/octet-stream', '\0\x01'],
    [FORM, ''],
    [FORM, 'a=1&b=%C3%BC+x&c'],
    [`${FORM}; charset=UTF-8`, 'a=1'],
    [JSON_TYPE, ''],
    [JSON_TYPE, '{"a":{"b":[1]}}'],
    ['application/problem+json; charset="utf-8"', '[]'],
    ['text/xml', '<a b="c">d</a>'],
    [MULTI, multi(part('form-data; name="a"'), part('form-data; name="f"; filename="x.txt"'))],
    ['multipart/form-data; boundary="b"', multi(part('form-data; name="a"'))],
    [MULTI, multi(part(`form-data; name=f; filename=x.txt; filename*=utf-8''x%2Etxt`))],
    [MULTI, multi(part(`form-data; name=f; filename*=utf-8''x.txt`))],
  ])('%j with %j', (type, bytes) => {
    expect(why(type, bytes)).toBeUndefined()
  })
})

describe('bodies that are not', () => {
  it.each([
    [[JSON_TYPE, FORM], '{}', 'several Content-Type'],
    ['application/json, text/plain', '{}', 'not a media type'],
    ['json', '{}', 'not a media type'],
    [`${JSON_TYPE}; charset=utf-7`, '{}', '"utf-7"'],
    [`${FORM}; charset=ibm037`, 'a=1', '"ibm037"'],
    ['text/plain; charset=utf-8; charset=utf-16', 'x', 'several charsets'],
    [FORM, 'a=%zz', 'an escape'],
    [FORM, 'a=%', 'an escape'],
    [FORM, 'a=\0', 'control'],
    [FORM, '{"a":1}', 'it is JSON'],
    [FORM, 'a&b&c&d', 'more than 3'],
    [JSON_TYPE, '{"a":1', 'not the JSON'],
    [JSON_TYPE, '{"a":1} x', 'not the JSON'],
    [JSON_TYPE, 'a=1&b=2', 'not the JSON'],
    [JSON_TYPE, '{"a":1,"a":2}', 'key twice'],
    [JSON_TYPE, '[[[[1]]]]', 'deeper than 3'],
    ['text/xml', '<a>', 'not the XML'],
    ['text/xml', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 'document type'],
    ['multipart/form-data', multi(part('form-data; name=a')), 'boundary'],
    [MULTI, 'a=1', 'boundary'],
    [MULTI, part('form-data; name=a'), 'final boundary'],
    [MULTI, multi(part('attachment; name=a')), 'invalid-part'],
    [MULTI, multi('--b\nContent-Disposition: form-data; name=a\n\nx\n'), 'lf-line'],
    [MULTI, multi(part('form-data; name="a" filename="b"')), 'missing-semicolon'],
    [MULTI, multi(part(`form-data; name=f; filename=x.txt; filename*=utf-8''x.php`)), 'two file'],
    [MULTI, multi(part('form-data; name="a')), 'invalid-quoting'],
  ])('%j with %j: %s', (type, bytes, expected) => {
    expect(why(type, bytes)).toContain(expected)
  })
})

describe('the beginning of a body', () => {
  const whole = [
    [JSON_TYPE, '{"a":"x\\u00e9\\n\\ud83d\\ude00","b":[true,-1.5e3]}'],
    [FORM, 'a=%C3%A9&b=2'],
    ['text/xml', '<a b="c">d<e/></a>'],
    [MULTI, multi(part('form-data; name="a"'), part('form-data; name="f"; filename="x"'))],
  ] as const

  it.each(whole)('of %s may end anywhere', (type, bytes) => {
    for (let length = 1; length < bytes.length; length++) {
      expect([length, why(type, bytes.slice(0, length), true)]).toEqual([length, undefined])
    }
  })

  it.each([
    [JSON_TYPE, `{"a":x,"b":"${'c'.repeat(40)}`],
    [JSON_TYPE, '{"a":1,"a":"bcd'],
    [FORM, 'a=%zz&b=1'],
    ['text/xml', '<!DOCTYPE a><a>'],
    [MULTI, `${part('attachment; name=a')}${part('form-data; name=b')}--b\r\nConte`],
  ])('of %s is judged as far as it goes: %j', (type, bytes) => {
    expect(why(type, bytes, true)).toBeDefined()
  })
})

describe('waf.bodies.invalid', () => {
  const request = (
    body: string,
    headers: Record<string, string> = { 'Content-Type': JSON_TYPE },
  ) => ({
    body,
    headers,
  })

  it('leaves invalid bodies to the rules unless it says block', () => {
    const { waf } = wafOf({ rules: [] })
    expect(inspect(waf, request('{"a":1'))).toMatchObject({ block: undefined, read: 0 })
  })

  it('blocks with 400, and reads only what it can judge', () => {
    const { waf } = wafOf({ rules: [], waf: { bodies: { invalid: 'block', inspect: '8B' } } })
    const { block, verdicts } = inspect(waf, request('{"a":1'))
    expect(block).toMatchObject({ status: 400, rule: 'invalid-body', ruleset: 'waf' })
    expect(verdicts[0]?.description).toContain('not the JSON')
    expect(inspect(waf, request('{"a":1}')).block).toBeUndefined()
    expect(inspect(waf, request('{"a":"longer than what is read"}')).block).toBeUndefined()
    expect(inspect(waf, request('x', { 'Content-Type': 'text/plain' })).read).toBe(0)
    expect(inspect(waf, request('x', {})).read).toBe(0)
    const zipped = { 'Content-Type': 'text/plain', 'Content-Encoding': 'snappy' }
    expect(inspect(waf, request('x', zipped)).verdicts[0]?.description).toContain('"snappy"')
  })

  it('only reports where the route simulates, and asks the rules too', () => {
    const { waf } = wafOf({
      rules: [{ id: 'a', expression: 'http.request.body.raw contains "1"', action: 'log' }],
      waf: { bodies: { invalid: 'block' } },
      route: { mode: 'simulate' },
    })
    const { block, verdicts } = inspect(waf, request('{"a":1'))
    expect(block).toBeUndefined()
    expect(verdicts.map(({ rule, enforced }) => [rule, enforced])).toEqual([
      ['invalid-body', false],
      ['a', false],
    ])
  })
})

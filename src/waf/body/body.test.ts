import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cookiePairs } from './cookies.ts'
import { flattenJson } from './json.ts'
import { DEFAULT_BODY_LIMITS } from './limits.ts'
import { parseMultipart } from './multipart.ts'
import { decodedPairs, splitPairs } from './urlencoded.ts'
import { flattenXml } from './xml.ts'

const LIMITS = DEFAULT_BODY_LIMITS
const flat = (pairs: readonly { name: string; value: string }[]) =>
  pairs.map(({ name, value }) => `${name}=${value}`)

describe('urlencoded', () => {
  it('keeps order, duplicates, empty values and what is not an escape', () => {
    expect(flat(decodedPairs('a=1&a=2&b&c=%zz+%41&&=x&d==', 99))).toEqual([
      'a=1',
      'a=2',
      'b=',
      'c=%zz A',
      '=x',
      'd==',
    ])
    expect(flat(splitPairs('a=%41', 9))).toEqual(['a=%41'])
    expect(decodedPairs('a&b&c', 2)).toHaveLength(2)
  })
})

describe('cookies', () => {
  it('split at semicolons only', () => {
    expect(flat(cookiePairs('a=1; b="x;  c; d=e=f', 99))).toEqual(['a=1', 'b="x', 'c=', 'd=e=f'])
  })
})

describe('JSON', () => {
  it.each([
    ['{"a":{"b":1.50},"a":{"b":2}}', ['json.a.b=1.50', 'json.a.b=2'], undefined],
    [
      '[1,"x",null,[true]]',
      ['json.0=1', 'json.1=x', 'json.2=', 'json.3.0=true', 'json.3=1', 'json=4'],
      undefined,
    ],
    [
      '{"k\\u0065y":"\\u00e4\\ud83d\\ude00\\n"}',
      ['json.key=\xc3\xa4\xf0\x9f\x98\x80\n'],
      undefined,
    ],
    ['"top"', ['json=top'], undefined],
    ['{"a":1,}', ['json.a=1'], /key is expected/],
    ['{"a":1} x', ['json.a=1'], /after the value/],
    ['{"a":01}', [], /value is expected/],
    ['{"a":"x', [], /not closed/],
    ['', [], /value is expected/],
    [`${'['.repeat(99)}`, [], /deeper than 64/],
  ])('reads %j', (text, expected, error) => {
    const read = flattenJson(text, LIMITS)
    expect(flat(read.pairs)).toEqual(expected)
    if (error === undefined) expect(read.error).toBeUndefined()
    else expect(read.error).toMatch(error)
  })

  it('says when a key comes twice, which JSON.parse hides', () => {
    expect(flattenJson('{"a":1,"a":2}', LIMITS).hasDuplicateKeys).toBe(true)
    expect(flattenJson('{"a":{"x":1},"b":{"x":1}}', LIMITS).hasDuplicateKeys).toBe(false)
  })

  it('accepts exactly what JSON.parse accepts, with the same leaves', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const ascii = JSON.stringify(JSON.parse(text)).replace(
          /[\u0080-\uffff]/g,
          (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
        )
        return flattenJson(ascii, { ...LIMITS, arguments: 1e6, depth: 1e3 }).error === undefined
      }),
    )
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      'a',
      '1',
      '-',
      '.',
      'e',
      ' ',
      'true',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), (parts) => {
        const text = parts.join('')
        let isValid = true
        try {
          JSON.parse(text)
        } catch {
          isValid = false
        }
        return (flattenJson(text, LIMITS).error === undefined) === isValid
      }),
      { numRuns: 3000 },
    )
  })
})

const TYPE = 'multipart/form-data; boundary=B'
const crlf = (text: string) => text.replaceAll('\n', '\r\n')

describe('multipart', () => {
  it('reads parts, their raw headers and files', () => {
    const body = crlf(
      '--B\nContent-Disposition: form-data; name="a"\n\nx\n--B\nContent-Disposition: form-data; name="f"; filename="q\\"z.txt"\nContent-Type: text/plain\n\nline\n--\n--B--\n',
    )
    const { parts, flags, error } = parseMultipart(body, TYPE, LIMITS)
    expect(error).toBeUndefined()
    expect([...flags]).toEqual([])
    expect(parts.map((p) => [p.name, p.filename, p.content, p.headers.length])).toEqual([
      ['a', undefined, 'x', 1],
      ['f', 'q"z.txt', 'line\r\n--', 2],
    ])
  })

  it.each([
    [
      'preamble',
      crlf('hi\n--B\nContent-Disposition: form-data; name="a"\n\nx\n--B--'),
      'data-before',
    ],
    [
      'epilogue',
      crlf('--B\nContent-Disposition: form-data; name="a"\n\nx\n--B--\nmore'),
      'data-after',
    ],
    ['bare line feeds', '--B\nContent-Disposition: form-data; name="a"\n\nx\n--B--', 'lf-line'],
    [
      'a folded header',
      crlf('--B\nContent-Disposition: form-data;\n name="a"\n\nx\n--B--'),
      'header-folding',
    ],
    [
      'single quotes',
      crlf("--B\nContent-Disposition: form-data; name='a'\n\nx\n--B--"),
      'invalid-quoting',
    ],
    ['no end', crlf('--B\nContent-Disposition: form-data; name="a"\n\nx'), 'incomplete'],
    [
      'a longer boundary',
      crlf('--BB\nContent-Disposition: form-data; name="a"\n\nx\n--B--'),
      'unmatched-boundary',
    ],
    ['no disposition', crlf('--B\nX: y\n\nx\n--B--'), 'invalid-part'],
    [
      'two dispositions',
      crlf(
        '--B\nContent-Disposition: form-data; name="a"\nContent-Disposition: form-data; name="b"\n\nx\n--B--',
      ),
      'duplicate-header',
    ],
    [
      'filename*',
      crlf('--B\nContent-Disposition: form-data; name="a"; filename*=UTF-8\'\'x.php\n\nx\n--B--'),
      'extended-filename',
    ],
    [
      'a control byte in a header name',
      crlf('--B\n\x0eContent-Disposition: form-data; name="a"\n\nx\n--B--'),
      'invalid-header',
    ],
  ])('flags %s', (_, body, flag) => {
    expect([...parseMultipart(body, TYPE, LIMITS).flags]).toContain(flag)
  })

  it('gives back what was put in, whatever the bytes', () => {
    const content = fc
      .array(fc.integer({ min: 0, max: 255 }), { maxLength: 80 })
      .map((codes) => String.fromCharCode(...codes))
      .filter((text) => !text.includes('--B'))
    const name = fc.stringMatching(/^[a-z0-9 ]{1,8}$/)
    fc.assert(
      fc.property(fc.array(fc.tuple(name, content), { minLength: 1, maxLength: 5 }), (fields) => {
        const body = fields.map(
          ([key, value]) =>
            `--B\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`,
        )
        const { parts, error } = parseMultipart(`${body.join('')}--B--\r\n`, TYPE, LIMITS)
        expect(error).toBeUndefined()
        expect(parts.map((part) => [part.name, part.content])).toEqual(fields)
      }),
    )
  })
})

describe('XML', () => {
  it('gives text and attribute values, entities decoded', () => {
    const read = flattenXml('<a x="1 &lt; 2" y="z"><b>t&amp;u</b><![CDATA[<c>]]></a>', LIMITS)
    expect(read.error).toBeUndefined()
    expect(read.text).toBe('t&u<c>')
    expect(flat(read.attributes)).toEqual(['x=1 < 2', 'y=z'])
  })

  it('flags a document type and expands nothing of it', () => {
    const bomb =
      '<!DOCTYPE a [<!ENTITY e "boom"><!ENTITY x SYSTEM "file:///etc/passwd">]><a>&e;&x;</a>'
    const read = flattenXml(bomb, LIMITS)
    expect(read.hasDoctype).toBe(true)
    expect(read.error).toBeDefined()
    expect(read.text).not.toContain('boom')
  })

  it('stops at its depth', () => {
    expect(flattenXml('<a>'.repeat(99), LIMITS).error).toMatch(/deeper/)
  })
})

describe('every parser', () => {
  it('answers for any bytes', () => {
    const bytes = fc
      .array(fc.integer({ min: 0, max: 255 }), { maxLength: 300 })
      .map((codes) => String.fromCharCode(...codes))
    fc.assert(
      fc.property(bytes, (text) => {
        decodedPairs(text, 10)
        cookiePairs(text, 10)
        flattenJson(text, LIMITS)
        flattenXml(`<a>${text}`, LIMITS)
        parseMultipart(`--B\r\n${text}\r\n--B--`, TYPE, LIMITS)
      }),
      { numRuns: 300 },
    )
  })
})

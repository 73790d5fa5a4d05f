import { createHash, createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toBytes, toUint8Array } from './bytes.ts'
import { decodeBase64, encodeBase64, urlDecode } from './encodings.ts'
import { compileExpression, compileValue } from './expression.ts'
import { lookupJson } from './json.ts'
import { percentDecode } from './pairs.ts'
import { quote } from './print.ts'
import { sha256 } from './sha256.ts'
import { environmentA, fixtureA, subjectOf } from './subject.fixture.ts'
import { isTimedHmacValid } from './timed-hmac.ts'
import { parseWildcard, wildcardCaptures, wildcardTest } from './wildcard.ts'

const subject = fixtureA()

describe('results', () => {
  it.each<[string, unknown]>([
    ['lower("ÀB")', '\xc3\x80b'],
    ['upper("àb")', '\xc3\xa0B'],
    ['len("")', 0],
    ['len(http.request.headers["accept"])', 2],
    ['len(http.request.uri.args)', 4],
    ['concat("a", "b", "c")', 'abc'],
    ['starts_with("abc", "ab")', true],
    ['ends_with("abc", "ab")', false],
    ['substring("asdfghjk", 2, 5)', 'dfg'],
    ['substring("asdfghjk", 2)', 'dfghjk'],
    ['substring("asdfghjk", -2)', 'jk'],
    ['substring("asdfghjk", 0, -2)', 'asdfgh'],
    ['substring("abc", 2, 1)', ''],
    ['to_string(ssl)', 'true'],
    ['to_string(ip.src.asnum)', '64496'],
    ['to_string(ip.src)', '203.0.113.7'],
    ['url_decode("John%20Doe+x")', 'John Doe x'],
    ['url_decode("%2520")', '%20'],
    ['url_decode("%2520", "r")', ' '],
    ['url_decode("%u2601")', '%u2601'],
    ['url_decode("%u2601", "u")', '\xe2\x98\x81'],
    ['url_decode("%25u0041%2", "ru")', 'A%2'],
    ['url_decode("%2B+", "r")', '  '],
    ['url_decode("%2B+")', '+ '],
    ['decode_base64("MTIzYWJj")', '123abc'],
    ['decode_base64("MTIzYQ")', '123a'],
    ['decode_base64("MTIzYQ==")', '123a'],
    ['decode_base64("M")', undefined],
    ['decode_base64("M!zY")', undefined],
    ['encode_base64("hello world")', 'aGVsbG8gd29ybGQ'],
    ['encode_base64("hello world", "p")', 'aGVsbG8gd29ybGQ='],
    ['encode_base64("\\xfb\\xff", "u")', '-_8'],
    ['encode_base64(sha256("abc"))', 'ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0'],
    ['remove_bytes("www.cloudflare.com", "\\x2e\\x77")', 'cloudflarecom'],
    ['remove_query_args("order=asc&country=GB", "country")', 'order=asc'],
    ['remove_query_args("a=1&b=2&a=3&c", "a", "c")', 'b=2'],
    ['remove_query_args("a=1", "b")', 'a=1'],
    ['join(split("a,,b", ",", 64), "-")', 'a--b'],
    ['split("a,b,c,d", ",", 3)', ['a', 'b', 'c,d']],
    ['split("", ",", 3)', ['']],
    ['regex_replace("/foo/bar", "/bar$", "/baz")', '/foo/baz'],
    ['regex_replace("/x", "^/y$", "/mumble")', '/x'],
    ['regex_replace("/a/a", "/a", "/b")', '/b/a'],
    ['regex_replace("/b", "^/b$", "/b$$")', '/b$'],
    [`regex_replace("/foo/a/path", "^/foo/([^/]*)/(.*)$", "/bar/$\{2}/$\{1}")`, '/bar/path/a'],
    [`regex_replace("ac", "a(b)?c", "[$\{1}]")`, '[]'],
    [
      `wildcard_replace("https://apps.example.com/calendar/admin?expand=true", "https://*.example.com/*/*", "https://example.com/$\{1}/$\{2}/$\{3}")`,
      'https://example.com/apps/calendar/admin?expand=true',
    ],
    [`wildcard_replace("/Apps/calendar", "/apps/*", "/$\{1}")`, '/calendar'],
    [`wildcard_replace("/Apps/calendar", "/apps/*", "/$\{1}", "s")`, '/Apps/calendar'],
    [
      `wildcard_replace("/apps/calendar/login", "/apps/*/login", "/$\{1}/login")`,
      '/calendar/login',
    ],
    ['lookup_json_string("{\\"company\\":\\"cloudflare\\"}", "company")', 'cloudflare'],
    ['lookup_json_string("{\\"n\\":{\\"m\\":[1,\\"x\\"]}}", "n", "m", 1)', 'x'],
    ['lookup_json_string("{\\"n\\":1}", "n")', undefined],
    ['lookup_json_integer("[\\"first\\", -234]", 1)', -234],
    ['lookup_json_integer("{\\"a\\":42.0}", "a")', undefined],
    ['lookup_json_integer("{\\"a\\":1,\\"a\\":2}", "a")', 2],
    ['lookup_json_integer("{\\"a\\":1", "a")', undefined],
    ['uuidv4("0123456789abcdef")', '30313233-3435-4637-b839-616263646566'],
    ['uuidv4("short")', undefined],
    ['len(uuidv4(cf.random_seed))', 36],
    ['cidr(2001:db8::1, 24, 32)', expect.objectContaining({ text: '2001:db8::' })],
    ['if(true, 1, 2)', 1],
    ['coalesce(lookup_json_string("{}", "a"), "none")', 'none'],
  ])('%s', (source, expected) => {
    expect(compileValue(source, environmentA).read(subject)).toEqual(expected)
  })

  it('of constants are folded at load', () => {
    expect(
      compileExpression('lower("A") == "a" and len("abc") == 3', environmentA).tree,
    ).toMatchObject({ kind: 'constant', value: true })
    expect(compileExpression('ssl and lower("A") == "a"', environmentA).tree.kind).toBe('path')
    expect(compileExpression('ssl and lower("A") == "b"', environmentA).tree).toMatchObject({
      kind: 'constant',
      value: false,
    })
  })
})

describe('is_timed_hmac_valid_v0', () => {
  const secret = 'mysecretkey'
  const issued = 1_700_000_000
  const mac = (message: string) =>
    createHmac('sha256', secret).update(`${message}${issued}`).digest('base64')

  it.each([
    ['fresh', issued + 10, '/download/cat.jpg', true],
    ['on its last second', issued + 100, '/download/cat.jpg', true],
    ['expired', issued + 101, '/download/cat.jpg', false],
    ['of another message', issued + 10, '/download/dog.jpg', false],
  ])('a token %s', (_, now, path, expected) => {
    const token = encodeURIComponent(mac('/download/cat.jpg'))
    const request = subjectOf({ target: `${path}?verify=${issued}-${token}` })
    request.now = now * 1000
    const valid = compileExpression(
      'is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100, http.request.timestamp.sec, 8)',
      environmentA,
    )
    expect(valid.test(request)).toBe(expected)
  })

  it('takes the URL-safe form, dashes included', () => {
    for (let i = 0; i < 50; i++) {
      const digest = mac(`m${i}`).replaceAll('+', '-').replaceAll('/', '_').replace('=', '')
      const key = toUint8Array(secret)
      expect(isTimedHmacValid(key, `m${i}${issued}-${digest}`, 9, issued, 0, true)).toBe(true)
      expect(isTimedHmacValid(key, `m${i}${issued}-${digest}`, 9, issued, 1, true)).toBe(false)
    }
  })

  it.each(['', '-', `${issued}-`, `x${issued}-AAAA`, 'x-'.repeat(40)])('refuses %s', (text) => {
    for (const isUrlSafe of [true, false]) {
      expect(isTimedHmacValid(toUint8Array(secret), text, 9, issued, 0, isUrlSafe)).toBe(false)
    }
  })
})

const byteString = fc.uint8Array({ maxLength: 200 }).map((bytes) => String.fromCharCode(...bytes))

describe('properties', () => {
  it('hashes as others do', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(Buffer.from(sha256(bytes))).toEqual(createHash('sha256').update(bytes).digest())
      }),
    )
  })

  it('Base64 round-trips', () => {
    fc.assert(
      fc.property(byteString, fc.boolean(), fc.boolean(), (bytes, isUrlSafe, isPadded) => {
        expect(decodeBase64(encodeBase64(bytes, isUrlSafe, isPadded))).toBe(bytes)
      }),
    )
  })

  it('decodes recursively what repeated passes decode', () => {
    const escapes = fc.array(
      fc.constantFrom('%', '2', '5', '4', '1', 'B', '+', 'a', '%25', '%2B', '%41'),
      { maxLength: 16 },
    )
    fc.assert(
      fc.property(escapes, (parts) => {
        let expected = parts.join('')
        for (let last = ''; last !== expected; ) {
          last = expected
          expected = percentDecode(expected.replaceAll('+', ' '))
        }
        expect(urlDecode(parts.join(''), true, false)).toBe(expected)
      }),
      { numRuns: 1000 },
    )
  })

  it('decodes once, with and without %u, what one pass decodes', () => {
    const pieces = fc.array(
      fc.constantFrom('%', 'u', '0041', '%e', '9', '%u00e9', '+', 'g', '%2B', '%%'),
      {
        maxLength: 12,
      },
    )
    const once = (text: string, hasUnicode: boolean) =>
      text
        .replaceAll('+', ' ')
        .replace(
          hasUnicode ? /%u([0-9a-f]{4})|%([0-9a-f]{2})/gi : /%()([0-9a-f]{2})/gi,
          (_, unit, byte) =>
            unit
              ? toBytes(String.fromCharCode(Number.parseInt(unit, 16)))
              : String.fromCharCode(Number.parseInt(byte, 16)),
        )
    fc.assert(
      fc.property(pieces, fc.boolean(), (parts, hasUnicode) => {
        const text = parts.join('')
        expect(urlDecode(text, false, hasUnicode)).toBe(once(text, hasUnicode))
      }),
      { numRuns: 1000 },
    )
  })

  it('looks up in JSON what JSON.parse finds', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.array(fc.oneof(fc.nat(3), fc.string({ maxLength: 3 })), { maxLength: 3 }),
        fc.nat(9),
        (json, keys, choice) => {
          const document: unknown = JSON.parse(json)
          let value = document
          const path: (string | number)[] = []
          for (const key of keys) {
            if (typeof value !== 'object' || value === null) break
            const known: (string | number)[] = Array.isArray(value)
              ? value.map((_, i) => i)
              : Object.keys(value)
            const next = known.length === 0 ? key : known[choice % known.length]!
            path.push(typeof next === 'string' ? toBytes(next) : next)
            value = Array.isArray(value)
              ? value[next as number]
              : (value as Record<string, unknown>)[next]
          }
          const found = lookupJson(toBytes(json), path)
          if (typeof value === 'string')
            expect(found).toEqual({ kind: 'string', text: toBytes(value) })
          else if (typeof value === 'number') expect(Number(found?.text)).toBe(value)
          else if (typeof value === 'boolean' || value === null)
            expect(found).toEqual({ kind: 'word', text: String(value) })
          else expect(found).toBeUndefined()
        },
      ),
      { numRuns: 500 },
    )
  })

  it('refuses JSON that JSON.parse refuses', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '1',
      '01',
      '-',
      'true',
      ' ',
      '"',
      '\\',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
        const json = parts.join('')
        let isValid = true
        try {
          JSON.parse(json)
        } catch {
          isValid = false
        }
        if (!isValid) expect(lookupJson(json, [])).toBeUndefined()
      }),
      { numRuns: 2000 },
    )
  })

  it('matches wildcards as the equal regular expression does', () => {
    const few = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '.'), maxLength: 6 })
    const pattern = fc
      .string({ unit: fc.constantFrom('a', 'b', 'B', '*', '.'), maxLength: 6 })
      .map((text) => text.replace(/\*+/g, '*'))
    fc.assert(
      fc.property(pattern, few, fc.boolean(), (text, value, isStrict) => {
        const source = text.replaceAll('.', '\\.').replaceAll('*', '([^]*?)')
        const match = new RegExp(`^${source}$`, isStrict ? '' : 'i').exec(value)
        const pieces = parseWildcard(text)
        expect(wildcardTest(pieces, isStrict)(value)).toBe(match !== null)
        expect(wildcardCaptures(pieces, isStrict, value)).toEqual(
          match === null ? undefined : [...match].slice(1),
        )
      }),
      { numRuns: 2000 },
    )
  })

  it('quoted strings read back as the same bytes', () => {
    fc.assert(
      fc.property(byteString, (bytes) => {
        expect(compileValue(quote(bytes), environmentA).read(subject)).toBe(bytes)
      }),
    )
  })
})

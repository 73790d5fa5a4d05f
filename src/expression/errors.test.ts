import { describe, expect, it } from 'vitest'
import { compileExpression, compileValue, ExpressionError } from './expression.ts'
import { MAX_LENGTH, MAX_NESTING } from './parser.ts'
import { environmentA } from './subject.fixture.ts'

function errorOf(
  source: string,
  compile = compileExpression as typeof compileExpression | typeof compileValue,
) {
  try {
    compile(source, environmentA)
  } catch (error) {
    if (error instanceof ExpressionError) return error
    throw error
  }
  throw new Error(`accepted: ${source}`)
}

/** `^` under the source marks the position. */
const TABLE: readonly (readonly [source: string, mark: string, detail: RegExp, hint?: RegExp])[] = [
  ['', '^', /empty/],
  ['   ', '^', /empty/],
  ['http.hosst eq "a"', '^', /unknown field http\.hosst/, /http\.host\?/],
  ['ssl and ip.src.contry eq "a"', '        ^', /unknown field/, /ip\.src\.country/],
  ['lowr(http.host) eq "a"', '^', /unknown function lowr/, /lower/],
  ['http.host eq "a" adn ssl', '                 ^', /unexpected "adn"/, /and/],
  ['ssl AND ssl', '    ^', /unknown operator "AND"/, /and/],
  ['http.host equals "a"', '          ^', /unknown operator "equals"/],
  [
    'http.request.uri.path starts_with "/a"',
    '                      ^',
    /is a function, not an operator/,
    /starts_with\(field/,
  ],
  ['http.host = "a"', '          ^', /equality is ==/, /==/],
  ['http.host eq a', '             ^', /a string is expected, not a/, /"a"/],
  ['http.host eq', '            ^', /a value is expected/],
  ['http.host', '         ^', /an operator is expected: http\.host is String/],
  ['"a" eq http.host', '^', /not a string/],
  ['http.host eq "a', '             ^', /never closed/],
  ['http.host eq r#"a"', '             ^', /never closed/],
  ['http.host eq "a\\n"', '               ^', /unknown escape \\n/, /r"…"/],
  ['http.host eq "\\x4"', '              ^', /two hexadecimal digits/],
  ['http.host eq "\\400"', '              ^', /three octal digits/],
  ['http.host lt 5', '             ^', /a string is expected/],
  ['ip.src.asnum eq "5"', '                ^', /an integer is expected, not a string/],
  ['ip.src.asnum eq 089', '                ^', /not an octal integer/, /octal/],
  ['ip.src.asnum eq 99999999999999999999', '                ^', /outside the integers/],
  ['ip.src.asnum in {1, 2}', '                  ^', /separated by spaces/, /comma/],
  ['ip.src.asnum in {5..1}', '                 ^', /backwards/],
  ['ip.src.asnum in {}', '                ^', /at least one item/],
  ['ip.src.asnum in {1 2', '                ^', /never closed/],
  ['ip.src.asnum in 5', '                ^', /\{ or \$list/],
  ['ip.src.asnum contains "5"', '             ^', /contains does not apply to Integer/],
  ['ip.src == 203.0.113.0/24', '          ^', /only stand in a set/, /in \{203/],
  ['ip.src lt 1.2.3.4', '       ^', /lt does not apply to IP address/],
  ['ip.src in {10.0.0.1/8}', '           ^', /not a CIDR block/, /zero/],
  ['ip.src in {1.2.3.4..::1}', '           ^', /one family/],
  ['ip.src in {"1.2.3.4"}', '           ^', /not a string/, /without quotes/],
  ['ip.src in $offices', '          ^', /unknown list \$offices/, /\$office\?/],
  ['http.host in $office', '             ^', /list of IP address/],
  ['ssl eq true', '    ^', /eq does not apply to Boolean/, /condition itself/],
  ['ssl[0]', '   ^', /does not apply to Boolean/],
  ['http.request.headers eq "a"', '                     ^', /does not apply to Map/, /key/],
  [
    'http.request.headers["a"] eq "a"',
    '                          ^',
    /does not apply to Array/,
    /\[\*\]/,
  ],
  ['http.request.headers[0] eq "a"', '                    ^', /a position does not apply to Map/],
  ['http.host["a"] eq "a"', '         ^', /a key does not apply to String/],
  ['http.request.headers.names[-1] eq "a"', '                           ^', /number from 0/],
  ['http.request.headers.names[*] eq "a"', '^', /one for each item/, /any\(…\) or all/],
  ['any(ssl)', '    ^', /one answer for each item/, /\[\*\]/],
  ['any("a")', '    ^', /not a literal/],
  [
    'any(http.request.headers.names[*] == "a" and http.request.headers.values[*] == "b")',
    '                                             ^',
    /walk the same array/,
  ],
  [
    'any(http.request.headers.names[*] == "a" or ssl)',
    '                                            ^',
    /cannot be combined/,
  ],
  ['concat("a", http.request.headers.names[*]) eq "a"', '            ^', /first argument/],
  ['concat("a", http.request.headers.names) eq "a"', '            ^', /one type/],
  ['lower(ip.src) eq "a"', '      ^', /source is String, not IP address/],
  ['lower(http.request.headers.names) eq "a"', '      ^', /not Array/, /\[\*\]/],
  ['lower() eq "a"', '^', /takes 1 argument, not 0/],
  ['substring(http.host) eq "a"', '^', /takes 2 to 3 arguments, not 1/],
  ['lower(http.host eq "a"', '     ^', /never closed/],
  ['lower(http.host "a") eq "a"', '                ^', /"," or "\)"/],
  ['(ssl and ssl', '^', /never closed/],
  ['ssl)', '   ^', /unexpected "\)"/],
  ['ssl ssl', '    ^', /unknown operator "ssl"/],
  ['not', '   ^', /expression ends/],
  ['ssl and', '       ^', /expression ends/],
  ['lower eq "a"', '^', /lower is a function/, /lower\(…\)/],
  ['http.host(1) eq "a"', '^', /is a field, not a function/],
  ['http.host matches "a(?=b)"', '                    ^', /look-around/],
  ['http.host matches "(a)\\1"', '                      ^', /back-references/],
  ['http.host matches "a\\"\\pL"', '                      ^', /Unicode classes/],
  ['http.host matches r#"a("#', '                      ^', /never closed/],
  ['http.host matches r"[z-a]"', '                     ^', /runs backwards/],
  ['http.host matches "*"', '                   ^', /nothing to repeat/],
  ['http.host wildcard "a**"', '                   ^', /\*\*/],
  ['http.host wildcard r"\\a"', '                   ^', /escapes/],
  ['http.host wildcard 61:62', '                   ^', /quoted string/],
  ['http.host strict "a"', '          ^', /"wildcard" is expected/],
  ['split(http.host, "", 3)[0] eq "a"', '                 ^', /separator is not empty/],
  ['split(http.host, ",", 129)[0] eq "a"', '                      ^', /between 1 and 128/],
  ['split(http.host, http.host, 2)[0] eq "a"', '                 ^', /is a literal/],
  ['cidr(ip.src, 33, 1) eq 1.2.3.4', '             ^', /between 1 and 32/],
  ['url_decode(http.host, "x") eq "a"', '                      ^', /unknown flag "x"/],
  ['regex_replace(http.host, "(", "") eq "a"', '                         ^', /never closed/],
  [`regex_replace(http.host, "a", "$\{1}") eq "a"`, '                              ^', /no group/],
  ['regex_replace(http.host, "a", "$x") eq "a"', '                              ^', /dollar/],
  ['if(ssl, 1, "a") eq 1', '           ^', /one type|is expected/],
  [
    'regex_replace(wildcard_replace(http.host, "a", "b"), "a", "") eq "a"',
    '              ^',
    /inside a replacing/,
  ],
  ['coalesce(http.host, ip.src) eq "a"', '                    ^', /one type/],
  ['ssl # comment', '    ^', /unexpected "#"/],
]

describe('errors', () => {
  for (const [source, mark, detail, hint] of TABLE) {
    it(source === '' ? 'of nothing' : source, () => {
      const error = errorOf(source)
      expect(error.detail).toMatch(detail)
      const { position, line, column } = error
      expect({ position, line, column }).toEqual({
        position: mark.length - 1,
        line: 1,
        column: mark.length,
      })
      if (hint !== undefined) expect(error.hint).toMatch(hint)
    })
  }

  it('count lines and columns from 1', () => {
    const error = errorOf('ssl and\n  (http.host eq 1)')
    expect([error.position, error.line, error.column]).toEqual([24, 2, 17])
    expect(error.message).toContain('(line 2, column 17)')
  })

  it('keep to the limits', () => {
    const long = `ssl${' '.repeat(MAX_LENGTH - 3)}`
    expect(() => compileExpression(long, environmentA)).not.toThrow()
    expect(errorOf(`${long} `).detail).toMatch(/at most 4096 characters/)
    const nested = (depth: number) => `${'('.repeat(depth)}ssl${')'.repeat(depth)}`
    expect(() => compileExpression(nested(MAX_NESTING), environmentA)).not.toThrow()
    expect(errorOf(nested(MAX_NESTING + 1)).position).toBe(MAX_NESTING)
    expect(errorOf(`${'!'.repeat(MAX_NESTING + 1)}ssl`).detail).toMatch(/nests at most 128/)
    expect(errorOf(`${'lower('.repeat(200)}http.host`).detail).toMatch(/nests at most 128/)
    expect(errorOf(`http.host matches "${'('.repeat(2000)}"`).detail).toMatch(/nests too deeply/)
    expect(errorOf(`http.host eq r${'#'.repeat(256)}"a"${'#'.repeat(256)}`).detail).toMatch(/255/)
  })

  it('refuse values that are arrays of answers', () => {
    expect(errorOf('http.request.headers.names[*]', compileValue).detail).toMatch(/no meaning here/)
    expect(errorOf('foo', compileValue).detail).toMatch(/unknown field/)
  })
})

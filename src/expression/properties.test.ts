import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileExpression, compileValue, ExpressionError, type Subject } from './expression.ts'
import { quote } from './print.ts'
import { environmentA, fixtureA, subjectOf } from './subject.fixture.ts'

const TEXTS = [
  '',
  'a',
  'A',
  'ab',
  '/admin',
  '/Admin/x',
  'red',
  'é',
  '%41',
  'a"b',
  'a\\b',
  '\x00',
  'b*',
]
const text = fc.constantFrom(...TEXTS).map((value) => quote(Buffer.from(value).toString('latin1')))
const rawText = fc.constantFrom('r"a"', 'r#"a"b"#', 'r##"x"#y"##', '61:62', 'C3-A9.41')
const integer = fc.constantFrom('0', '1', '-1', '2', '0x10', '017', '64496', '443')
const address = fc.constantFrom('203.0.113.7', '10.0.0.1', '2001:db8::1', '::1')

const stringPath = fc.constantFrom(
  'http.host',
  'http.request.method',
  'http.request.uri.path',
  'http.request.uri',
  'http.user_agent',
  'http.request.headers["accept"][0]',
  'http.request.headers["x-a"][1]',
  'http.request.headers["none"][0]',
  'http.request.uri.args["a"][0]',
  'http.request.cookies["a"][0]',
  'auth.subject',
  'http.request.body.raw',
  'lower(http.request.uri.path)',
  'concat(http.host, "-", http.request.headers["none"][0])',
  'url_decode(http.request.uri.path, "ru")',
  'substring(http.request.uri, 1, -1)',
  'to_string(ip.src)',
  'if(ssl, http.host, "b")',
  'coalesce(auth.subject, http.host)',
  'split(http.request.uri, "/", 3)[1]',
)
const integerPath = fc.constantFrom(
  'ip.src.asnum',
  'len(http.host)',
  'cf.edge.server_port',
  'len(http.request.uri.args["a"])',
  'http.request.body.size',
)
const stringArray = fc.constantFrom(
  'http.request.headers["accept"][*]',
  'http.request.headers.names[*]',
  'http.request.uri.args["a"][*]',
  'http.request.uri.args[*][0]',
  'url_decode(http.request.uri.args.values[*])[*]',
  'http.request.headers["none"][*]',
)

const order = fc.constantFrom('eq', 'ne', 'lt', 'le', 'gt', 'ge', '==', '!=', '<', '<=', '>', '>=')
const pattern = fc.constantFrom(
  '"a"',
  '"^/[aA]dmin"',
  'r"\\d+"',
  '"(?i)A|b"',
  '"[\\"a]"',
  'r#"""#',
  '"\\\\."',
  '"é"',
)
const wildcard = fc.constantFrom('"*"', '"a*"', '"*b"', '"/a*n"', 'r"\\*"', '"A"')

const stringTest = fc.oneof(
  fc.tuple(order, fc.oneof(text, rawText)).map((parts) => parts.join(' ')),
  text.map((value) => `contains ${value}`),
  fc.tuple(fc.constantFrom('matches', '~'), pattern).map((parts) => parts.join(' ')),
  fc
    .tuple(fc.constantFrom('wildcard', 'strict  wildcard'), wildcard)
    .map((parts) => parts.join(' ')),
  fc
    .array(fc.oneof(text, rawText), { minLength: 1, maxLength: 3 })
    .map((items) => `in { ${items.join('  ')} }`),
  fc.constant('in $words'),
)
const integerTest = fc.oneof(
  fc.tuple(order, integer).map((parts) => parts.join(' ')),
  fc.tuple(fc.constantFrom('&', 'bitwise_and'), integer).map((parts) => parts.join(' ')),
  fc.constantFrom('in {1 5..9 0x10}', 'in {-3..-1 443}', 'in $bad_asn'),
)
const addressTest = fc.oneof(
  fc.tuple(fc.constantFrom('eq', 'ne', '==', '!='), address).map((parts) => parts.join(' ')),
  fc.constantFrom('in {203.0.113.0/24 ::/64}', 'in {10.0.0.0..10.0.0.9}', 'in $office'),
)

const { condition } = fc.letrec<{ condition: string; answers: string }>((tie) => ({
  condition: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom(
      'ssl',
      'true',
      'false',
      'auth.is_authenticated',
      'starts_with(http.request.uri.path, "/a")',
    ),
    fc.tuple(stringPath, stringTest).map((parts) => parts.join(' ')),
    fc.tuple(integerPath, integerTest).map((parts) => parts.join(' ')),
    addressTest.map((test) => `ip.src ${test}`),
    tie('condition').map((item) => `not ${item}`),
    tie('condition').map((item) => `(${item})`),
    fc
      .tuple(
        tie('condition'),
        fc.constantFrom('and', 'or', 'xor', '&&', '||', '^^'),
        tie('condition'),
      )
      .map((parts) => parts.join(' ')),
    fc
      .tuple(fc.constantFrom('any', 'all'), tie('answers'))
      .map(([name, item]) => `${name}(${item})`),
    fc.tuple(tie('condition'), tie('condition')).map(([a, b]) => `if(${a}, ${b}, ssl)`),
  ),
  answers: fc.oneof(
    { depthSize: 'small' },
    fc.tuple(stringArray, stringTest).map((parts) => parts.join(' ')),
    stringArray.map((array) => `starts_with(${array}, "a")`),
    tie('answers').map((item) => `not ${item}`),
    fc
      .tuple(stringTest, fc.constantFrom('and', 'or', 'xor'), stringTest)
      .map(
        ([a, op, b]) =>
          `http.request.headers["accept"][*] ${a} ${op} (http.request.headers["accept"][*] ${b})`,
      ),
  ),
}))

const subjects: fc.Arbitrary<Subject> = fc
  .record({
    scheme: fc.constantFrom<'http' | 'https'>('http', 'https'),
    authority: fc.constantFrom('a', 'red', 'shop.example.com', 'b:8080'),
    method: fc.constantFrom('GET', 'POST'),
    target: fc.constantFrom(
      '/',
      '/admin',
      '/Admin/x?a=a&a=b',
      '/%41?a=A&b=%2541',
      '/a"b\\?x',
      '/\xc3\xa9?a=',
    ),
    headers: fc
      .array(
        fc.tuple(
          fc.constantFrom('accept', 'Accept', 'x-a', 'user-agent', 'cookie'),
          fc.constantFrom('a', 'b', '', 'a=red; b=2'),
        ),
        { maxLength: 4 },
      )
      .map((pairs) => pairs.flat()),
    ip: fc.constantFrom('203.0.113.7', '10.0.0.1', '2001:db8::1', undefined),
    body: fc.constantFrom('', 'a=1&b'),
  })
  .map((parts) => subjectOf(parts))

describe('printing', () => {
  it('and parsing again keeps the meaning', () => {
    let decided = 0
    fc.assert(
      fc.property(condition, fc.array(subjects, { minLength: 4, maxLength: 4 }), (source, all) => {
        const first = compileExpression(source, environmentA)
        const again = compileExpression(first.printed, environmentA)
        expect(again.printed).toBe(first.printed)
        const answers = all.map((subject) => first.test(subject))
        expect(all.map((subject) => again.test(subject))).toEqual(answers)
        if (answers.includes(true) && answers.includes(false)) decided++
      }),
      { numRuns: 800 },
    )
    // The generator must make conditions that tell requests apart, or nothing was tested.
    expect(decided).toBeGreaterThan(100)
  })
})

describe('precedence', () => {
  it('is that of JavaScript with the operators in their order', () => {
    const operators = fc.array(fc.constantFrom('and', 'or', 'xor'), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(operators, fc.infiniteStream(fc.boolean()), (ops, stream) => {
        const values = ops
          .map(() => stream.next().value as boolean)
          .concat(stream.next().value as boolean)
        const groups = [[[values[0]!]]]
        ops.forEach((op, i) => {
          const value = values[i + 1]!
          if (op === 'or') groups.push([[value]])
          else if (op === 'xor') groups.at(-1)!.push([value])
          else groups.at(-1)!.at(-1)!.push(value)
        })
        const expected = groups.some((xors) =>
          xors.reduce((parity, ands) => parity !== ands.every(Boolean), false),
        )
        const source = values
          .map((value, i) => `${i === 0 ? '' : `${ops[i - 1]} `}${value}`)
          .join(' ')
        expect(compileExpression(source, environmentA).test(subjectOf())).toBe(expected)
      }),
      { numRuns: 500 },
    )
  })
})

describe('garbage', () => {
  const tokens = fc.constantFrom(
    ...'(){}[]"\\#$!&|^~<>=,.*/:- \n'.split(''),
    'http.host',
    'http.request.headers',
    'ip.src',
    'ssl',
    'any',
    'all',
    'lower',
    'concat',
    'if',
    'split',
    'eq',
    'in',
    'and',
    'or',
    'not',
    'xor',
    'matches',
    'strict',
    'wildcard',
    'contains',
    '"a"',
    'r"',
    'r#"',
    '1',
    '0x',
    '08',
    '1.2.3.4',
    '::1',
    '/8',
    '..',
    '[*]',
    '["a"]',
    '[0]',
    '61:62',
    '$office',
    'é',
    '\u{1f600}',
    '\ud800',
    '\x00',
  )

  it('gives an ExpressionError with a place inside the source, or a condition', () => {
    const subject = fixtureA()
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(tokens, { maxLength: 14 }).map((parts) => parts.join('')),
          fc.array(tokens, { maxLength: 14 }).map((parts) => parts.join(' ')),
          fc.string({ unit: 'binary', maxLength: 40 }),
        ),
        (source) => {
          for (const compile of [compileExpression, compileValue]) {
            try {
              const compiled = compile(source, environmentA)
              if ('test' in compiled) compiled.test(subject)
              else compiled.read(subject)
            } catch (error) {
              expect(error).toBeInstanceOf(ExpressionError)
              const { position, line, column } = error as ExpressionError
              expect(position).toBeGreaterThanOrEqual(0)
              expect(position).toBeLessThanOrEqual(source.length)
              expect(line).toBeGreaterThan(0)
              expect(column).toBeGreaterThan(0)
            }
          }
        },
      ),
      { numRuns: 800 },
    )
  })

  it('made of mutated expressions does no more', () => {
    const subject = fixtureA()
    fc.assert(
      fc.property(condition, fc.nat(), fc.nat(3), tokens, (source, at, cut, token) => {
        const place = at % (source.length + 1)
        const mutated = source.slice(0, place) + token + source.slice(place + cut)
        try {
          expect(typeof compileExpression(mutated, environmentA).test(subject)).toBe('boolean')
        } catch (error) {
          if (!(error instanceof ExpressionError)) throw error
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('of any length is refused quickly', () => {
    const began = process.cpuUsage()
    for (const piece of [
      '(',
      '!',
      'not ',
      'ssl and ',
      'http.host eq "',
      '{',
      'any(',
      '[',
      'a.',
      '1',
      'r#',
      'r"',
      '\\',
      '"\\',
      'é',
    ]) {
      const source = piece.repeat(Math.floor(4096 / piece.length))
      expect(() => compileExpression(source, environmentA)).toThrow(ExpressionError)
      expect(() =>
        compileExpression(`http.host matches "${source.slice(0, 4000)}`, environmentA),
      ).toThrow(ExpressionError)
    }
    const { user, system } = process.cpuUsage(began)
    expect((user + system) / 1000).toBeLessThan(2000)
  })
})

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type BodyPrefix, HeaderList } from '../exchange.ts'
import { Subject } from '../expression/expression.ts'
import type { WafPass } from './pass.ts'
import { exchangeOf, type Given, inspect, type RequestParts, wafOf } from './waf.fixture.ts'

const rule = (id: string, expression: string, action: string, more: object = {}) => ({
  id,
  expression,
  action,
  ...more,
})
const PATH = 'http.request.uri.path'

describe('native rules', () => {
  const cases: readonly [what: string, given: Given, request: RequestParts, expected: object][] = [
    [
      'block with the status of the rule',
      { rules: [rule('a', `${PATH} eq "/x"`, 'block', { status: 451 })] },
      { uri: '/x' },
      { block: { kind: 'block', status: 451, rule: 'a', ruleset: 'own' } },
    ],
    [
      'take the first action that ends the request, and ask no further',
      {
        rules: [
          rule('a', `${PATH} eq "/x"`, 'log'),
          rule('b', `${PATH} eq "/x"`, 'challenge'),
          rule('c', `${PATH} eq "/x"`, 'block'),
        ],
      },
      { uri: '/x' },
      { block: { kind: 'challenge', rule: 'b' }, rules: ['a', 'b'] },
    ],
    [
      'let an allow end the inspection',
      { rules: [rule('a', `${PATH} eq "/x"`, 'allow'), rule('b', 'ssl', 'block')] },
      { uri: '/x' },
      { block: undefined, rules: ['a'] },
    ],
    [
      'let a skip leave out by tag and by id',
      {
        rules: [
          rule('a', 'ssl', 'skip', { skip: { tags: ['noisy'], ids: ['c'] } }),
          rule('b', 'ssl', 'block', { tags: ['noisy'] }),
          rule('c', 'ssl', 'block'),
          rule('d', 'ssl', 'log'),
        ],
      },
      {},
      { block: undefined, rules: ['a', 'd'] },
    ],
    [
      'let a skip without scope leave out the rest of its ruleset only',
      {
        rules: [rule('a', 'ssl', 'skip'), rule('b', 'ssl', 'block')],
        files: { 'more.json': { ruleset: 'more', rules: [rule('z', 'ssl', 'block')] } },
      },
      {},
      { block: { rule: 'z', ruleset: 'more' }, rules: ['a', 'z'] },
    ],
    [
      'add scores up to the threshold',
      {
        rules: [
          rule('a', 'ssl', 'score', { score: 4 }),
          rule('b', `${PATH} eq "/x"`, 'score', { score: 6 }),
        ],
      },
      { uri: '/x' },
      { block: { rule: 'anomaly-threshold', status: 403 }, rules: ['a', 'b', 'anomaly-threshold'] },
    ],
    [
      'do not block below the threshold',
      { rules: [rule('a', 'ssl', 'score', { score: 9 })] },
      {},
      { block: undefined, rules: ['a'] },
    ],
    [
      'only report when the rule, the ruleset or the route simulates',
      { rules: [rule('a', 'ssl', 'block', { mode: 'simulate' })] },
      {},
      { block: undefined, enforced: [false] },
    ],
    [
      'only report for a route that simulates',
      { rules: [rule('a', 'ssl', 'block')], route: { mode: 'simulate' } },
      {},
      { block: undefined, enforced: [false] },
    ],
    [
      'change by override',
      {
        rules: [rule('a', 'ssl', 'block'), rule('b', 'ssl', 'block', { tags: ['t'] })],
        waf: {
          rulesets: [
            {
              file: 'own.json',
              overrides: [
                { ids: ['a'], action: 'log' },
                { tags: ['t'], enabled: false },
              ],
            },
          ],
        },
      },
      {},
      { block: undefined, rules: ['a'] },
    ],
    [
      'let off by an exception with a condition',
      {
        rules: [rule('a', 'ssl', 'block')],
        waf: { exceptions: [{ when: `${PATH} eq "/hook"`, ids: ['a'] }] },
      },
      { uri: '/hook' },
      { block: undefined, rules: [] },
    ],
    [
      'let off by an exception of the route',
      { rules: [rule('a', 'ssl', 'block')], route: { exceptions: [{ rulesets: ['own'] }] } },
      {},
      { block: undefined, rules: [] },
    ],
  ]
  it.each(cases)('%s', (_, given, request, expected) => {
    const { waf, problems } = wafOf(given)
    expect(problems).toEqual([])
    const { block, verdicts } = inspect(waf, request)
    const { block: wanted, ...rest } = expected as { block?: object }
    if (wanted === undefined) expect(block).toBeUndefined()
    else expect(block).toMatchObject(wanted)
    const seen = {
      rules: verdicts.map((verdict) => verdict.rule),
      enforced: verdicts.map((verdict) => verdict.enforced),
    }
    expect(seen).toMatchObject(rest)
  })

  it('keep their order when one of them needs the body', () => {
    const { waf } = wafOf({
      rules: [
        rule('a', 'http.request.body.raw contains "let-me"', 'allow'),
        rule('b', `${PATH} eq "/x"`, 'block'),
      ],
    })
    expect(inspect(waf, { uri: '/x', body: 'let-me' }).block).toBeUndefined()
    expect(inspect(waf, { uri: '/x', body: 'no' }).block).toMatchObject({ rule: 'b' })
    expect(inspect(waf, { uri: '/x' }).block).toMatchObject({ rule: 'b' })
  })

  it('ask for the body only when a rule reads it, and for no more than the limit', () => {
    const head = wafOf({ rules: [rule('a', `${PATH} eq "/x"`, 'block')] }).waf
    expect(inspect(head, { body: 'abc' }).read).toBe(0)
    const given = { rules: [rule('a', 'http.request.body.truncated', 'log')] }
    const { waf } = wafOf({ ...given, waf: { bodies: { inspect: '4B' } } })
    expect(inspect(waf, { body: 'abcde' })).toMatchObject({ read: 4, verdicts: [{ rule: 'a' }] })
    const block = wafOf({ ...given, waf: { bodies: { inspect: '4B', oversize: 'block' } } }).waf
    expect(inspect(block, { body: 'abcde' }).block).toMatchObject({ status: 413 })
    const skip = wafOf({ ...given, waf: { bodies: { inspect: '4B', oversize: 'skip' } } }).waf
    expect(inspect(skip, { body: 'abcde' })).toMatchObject({ read: 0, block: undefined })
  })

  it('mask what they show', () => {
    const { waf } = wafOf({
      rules: [
        rule('a', 'http.request.uri.query contains "card"', 'log'),
        rule('b', 'http.cookie contains "sid"', 'log'),
      ],
    })
    const { verdicts } = inspect(waf, {
      uri: '/?card=4111111111111111&password=hunter2',
      headers: { Cookie: 'sid=verysecretvalue' },
    })
    expect(verdicts.map((verdict) => verdict.match)).toEqual([
      'card=***&password=***',
      '(19 bytes, masked)',
    ])
  })

  it('split a share of requests off for simulation, the same ones each time', () => {
    const { waf } = wafOf({ rules: [rule('a', 'ssl', 'block')], route: { simulateShare: 30 } })
    const blocked = (i: number) => inspect(waf, { id: `request-${i}` }).block !== undefined
    const first = Array.from({ length: 1000 }, (_, i) => blocked(i))
    const share = first.filter(Boolean).length / 10
    expect(share).toBeGreaterThan(64)
    expect(share).toBeLessThan(76)
    expect(first.slice(0, 50)).toEqual(Array.from({ length: 50 }, (_, i) => blocked(i)))
  })
})

describe('settings of a route', () => {
  const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
  const odd = { headers: form, body: 'a=%zz' }
  it('decide what an invalid body is, and how far a compressed one may grow', () => {
    const block = wafOf({ waf: { bodies: { invalid: 'block' } }, route: { invalid: 'flag' } }).waf
    expect(inspect(block, odd).verdicts).toEqual([])
    const flag = wafOf({ route: { invalid: 'block', ratio: 2 } }).waf
    expect(inspect(flag, odd).block).toMatchObject({ rule: 'invalid-body', status: 400 })
    for (const [length, expected] of [
      [16_000, undefined],
      [40_000, { rule: 'invalid-body' }],
    ] as const) {
      const headers = { 'Content-Type': 'text/plain', 'Content-Encoding': 'gzip' }
      const exchange = exchangeOf({ headers, body: 'x'.repeat(10_000) })
      const pass = flag.route(0)?.begin(new Subject(exchange)) as WafPass
      expect(pass.head()).toBeUndefined()
      const bytes = new Uint8Array(length).fill(65)
      const prefix = exchange.body?.prefix(pass.bodyBytes) as BodyPrefix
      const block = pass.body(prefix, { bytes, consumed: 10_000, end: 'complete' })
      if (expected === undefined) expect(block).toBeUndefined()
      else expect(block).toMatchObject(expected)
    }
  })

  const KEY = '-----BEGIN RSA PRIVATE KEY-----'
  const CARD = '4111 1111 1111 1111'
  const leaks = (given: Given, body: string, uri = '/') => {
    const responses = { body: true, ...given.waf?.responses }
    const { waf, problems } = wafOf({ ...given, waf: { ...given.waf, responses } })
    expect(problems).toEqual([])
    const pass = waf.route(0)?.begin(new Subject(exchangeOf({ uri }))) as WafPass
    pass.head()
    const headers = new HeaderList(['content-type', 'text/html'])
    pass.response(200, headers)
    const block = pass.responseBody(200, headers)?.whole(new TextEncoder().encode(body))
    const [verdict] = pass.finish()
    return `${block?.rule} ${verdict?.target} ${verdict?.enforced}`
  }
  const except = (exception: object, given: object = {}) => ({
    ...given,
    waf: { exceptions: [{ ids: ['data-leak'], ...exception }] },
  })
  it.each<[string, Given, string, string, string?]>([
    ['block', {}, KEY, 'data-leak leak:private-key true'],
    ['log on a route', { route: { leaks: 'log' } }, KEY, 'undefined leak:private-key false'],
    ['off on a route', { route: { leaks: 'off' } }, KEY, 'undefined undefined undefined'],
    [
      'block on a route',
      { waf: { responses: { leaks: 'off' } }, route: { leaks: 'block' } },
      CARD,
      'data-leak leak:card-number true',
    ],
    ['excepted', except({}), KEY, 'undefined undefined undefined'],
    [
      'of an excepted kind',
      except({ target: 'leak:card-number' }),
      CARD,
      'undefined undefined undefined',
    ],
    [
      'of another kind than the excepted one, behind it',
      except({ target: 'leak:private-key' }),
      `${KEY} ${CARD}`,
      'data-leak leak:card-number true',
    ],
    [
      'excepted on the route',
      { route: { exceptions: [{ ids: ['data-leak'], target: 'leak:private-key' }] } },
      KEY,
      'undefined undefined undefined',
    ],
    [
      'excepted where a condition holds',
      except({ when: `${PATH} eq "/docs"`, target: 'leak:private-key' }),
      KEY,
      'undefined undefined undefined',
      '/docs',
    ],
    [
      'where the condition does not hold',
      except({ when: `${PATH} eq "/docs"`, target: 'leak:private-key' }),
      KEY,
      'data-leak leak:private-key true',
      '/',
    ],
  ])('a leak: %s', (_, given, body, expected, uri) => {
    expect(leaks(given, body, uri)).toBe(expected)
  })
})

describe('loading rules', () => {
  it.each([
    [
      'an unknown field',
      { rules: [rule('a', 'http.request.urk eq "x"', 'block')] },
      /own|waf\.rulesets\[0\]\.rules\[0\]\.expression/,
    ],
    [
      'a test that does not hold',
      {
        rules: [
          rule('a', `${PATH} eq "/x"`, 'block', {
            tests: [{ request: { uri: '/y' }, match: true }],
          }),
        ],
      },
      /tests\[0\].*does not match, and should/,
    ],
    [
      'an id used twice',
      { rules: [rule('a', 'ssl', 'log'), rule('a', 'ssl', 'log')] },
      /used twice/,
    ],
    ['a score without a number', { rules: [rule('a', 'ssl', 'score')] }, /says how much/],
    [
      'an override of a rule that is not there',
      {
        rules: [rule('a', 'ssl', 'log')],
        waf: { rulesets: [{ file: 'own.json', overrides: [{ ids: ['b'], enabled: false }] }] },
      },
      /no rule "b"/,
    ],
    [
      'an exception for a rule that is not there',
      { rules: [rule('a', 'ssl', 'log')], waf: { exceptions: [{ ids: ['nope'] }] } },
      /no rule "nope"/,
    ],
    [
      'an exception that names nothing',
      { rules: [], waf: { exceptions: [{ when: 'ssl' }] } },
      /says what is let off/,
    ],
    [
      'a kind of leak that is not there',
      { waf: { exceptions: [{ ids: ['data-leak'], target: 'leak:cards' }] } },
      /exceptions\[0\]\.target: there is no kind of leak "cards"/,
    ],
    [
      'a kind of leak of another rule',
      {
        rules: [rule('a', 'ssl', 'log')],
        waf: { exceptions: [{ ids: ['a'], target: 'leak:listing' }] },
      },
      /only the rule "data-leak" has kinds of leaks/,
    ],
    [
      'another target of the leaks',
      { waf: { exceptions: [{ ids: ['data-leak'], target: 'ARGS:a' }] } },
      /a target of "data-leak" is a kind of leak/,
    ],
    [
      'leaks of a route where bodies are not inspected',
      { route: { leaks: 'log' } },
      /routes\[0\]\.waf\.leaks: response bodies are not inspected/,
    ],
    ['an unknown key', { rules: [{ ...rule('a', 'ssl', 'log'), severity: 1 }] }, /severity/],
  ] as const)('reports %s', (_, given, message) => {
    const { problems } = wafOf(given as unknown as Given)
    expect(problems.join('\n')).toMatch(message)
  })

  it("reads a ruleset as Cloudflare's API gives it", () => {
    const { waf, problems } = wafOf({
      files: {
        'zone.json': {
          result: {
            id: '4a3c',
            name: 'default',
            kind: 'zone',
            phase: 'http_request_firewall_custom',
            rules: [
              {
                id: '1',
                ref: 'admins-only',
                version: '3',
                action: 'block',
                expression:
                  '(http.request.uri.path wildcard "/admin/*" and ip.src ne 198.51.100.7)',
                description: 'Admins only',
                enabled: true,
                action_parameters: {
                  response: { status_code: 418, content_type: 'text/plain', content: 'no' },
                },
              },
              {
                id: '2',
                action: 'managed_challenge',
                expression: '(http.user_agent eq "")',
                enabled: true,
              },
            ],
          },
        },
      },
    })
    expect(problems).toEqual([])
    expect(inspect(waf, { uri: '/admin/x' }).block).toMatchObject({
      rule: 'admins-only',
      status: 418,
      body: { text: 'no' },
    })
    expect(inspect(waf, { uri: '/' }).block).toMatchObject({ kind: 'challenge', rule: '2' })
  })
})

describe('rules/basic.json', () => {
  it('compiles, with every test of its rules holding', () => {
    const text = readFileSync(new URL('../../rules/basic.json', import.meta.url), 'utf8')
    const { waf, problems } = wafOf({ files: { 'own.json': JSON.parse(text) } })
    expect(problems).toEqual([])
    expect(waf.native.length).toBeGreaterThan(7)
    expect(inspect(waf, { uri: '/?q=<script>alert(1)</script>' }).block).toMatchObject({
      rule: 'cross-site-scripting',
    })
    expect(inspect(waf, { uri: '/?q=red+shoes' }).block).toBeUndefined()
  })
})

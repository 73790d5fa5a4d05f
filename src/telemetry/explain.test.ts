import { describe, expect, it } from 'vitest'
import { type Exchange, HeaderList } from '../exchange.ts'
import { PROBLEMS } from '../http/problem.ts'
import { DebugGate, debugHeaders } from './debug-headers.ts'
import { exchangeOf, telemetryConfig } from './exchange.fixture.ts'
import { explain, explanationText } from './explain.ts'
import { Mask } from './mask.ts'

const mask = new Mask(telemetryConfig().mask, new Uint8Array(16))

const DECISION = { region: 'eu', order: ['eu', 'us'], policy: 'proximity', reason: 'nearest' }
const ATTEMPT = {
  region: 'eu',
  pool: 'p',
  origin: 'eu-1',
  outcome: 'ok',
  status: 200,
  durationMs: 3,
}
const BLOCK = {
  rule: 'sqli-1',
  ruleset: 'basic',
  action: 'block',
  enforced: true,
  phase: 'request',
  description: 'SQL injection',
  target: 'ARGS:password',
  match: 's3cret',
} as const
const HIT = { outcome: 'hit', reason: 'fresh', header: '' } as const
const PRINCIPAL = {
  kind: 'jwt',
  subject: 'alice',
  issuer: 'https://id.example',
  scopes: ['read'],
  claims: {},
} as const

describe('explain', () => {
  it.each<{ why: string; learnt: Partial<Exchange>; refusal?: string; step: string; says: string }>(
    [
      { why: 'refused', learnt: {}, refusal: 'bad-host', step: 'accept', says: 'Host field' },
      { why: 'no route', learnt: { outcome: 'no-route' }, step: 'route', says: 'No route' },
      {
        why: 'blocked',
        learnt: { outcome: 'blocked', verdicts: [BLOCK] },
        step: 'inspect',
        says: 'sqli-1',
      },
      { why: 'limited', learnt: { outcome: 'rate-limited' }, step: 'guard', says: 'Too many' },
      {
        why: 'limited by identity',
        learnt: { outcome: 'rate-limited', principal: PRINCIPAL },
        step: 'quota',
        says: 'Too many',
      },
      {
        why: 'no token',
        learnt: { outcome: 'unauthenticated' },
        step: 'identify',
        says: 'credentials',
      },
      { why: 'hit', learnt: { cacheStatus: HIT }, step: 'recall', says: 'fresh' },
      {
        why: 'residency',
        learnt: { outcome: 'residency-denied' },
        step: 'steer',
        says: 'no region',
      },
      {
        why: 'served',
        learnt: { decision: DECISION, attempts: [ATTEMPT] },
        step: 'forward',
        says: 'eu-1 in eu',
      },
    ],
  )('$why: $step answered', ({ learnt, refusal, step, says }) => {
    const x = exchangeOf({ refusal }, { outcome: refusal ?? 'served', ...learnt })
    const explanation = explain(x, { status: 200 }, mask)
    const answered = explanation.steps.filter((one) => one.outcome === 'answered')
    expect(answered.map((one) => one.step)).toEqual([step])
    expect(answered[0]!.why).toContain(says)
    expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation)
    expect(explanationText(explanation)).toContain(says)
  })

  it('has an answering step for every problem', () => {
    for (const outcome of Object.keys(PROBLEMS)) {
      const { steps } = explain(exchangeOf({}, { outcome }), { status: 500 }, mask)
      expect(steps.filter((one) => one.outcome === 'answered')).toHaveLength(1)
    }
  })

  it('shows no credential and no full address', () => {
    const x = exchangeOf(
      {
        query: 'token=s3cret',
        headers: new HeaderList(['Authorization', 'Bearer s3cret', 'Cookie', 'a=s3cret']),
      },
      { outcome: 'blocked', verdicts: [BLOCK], principal: PRINCIPAL },
    )
    const text = JSON.stringify(explain(x, { status: 403 }, mask))
    for (const secret of ['s3cret', 'alice', '203.0.113.77']) expect(text).not.toContain(secret)
    expect(text).toContain('Bearer ***')
  })

  it('lists the candidates of steering', () => {
    const x = exchangeOf({}, { decision: DECISION, attempts: [ATTEMPT] })
    const candidates = [{ region: 'us', cost: 7000, outcome: 'available' }] as const
    const steer = explain(x, { status: 200, candidates }, mask).steps.find(
      (s) => s.step === 'steer',
    )
    expect(steer?.detail).toMatchObject({ candidates, order: ['eu', 'us'] })
  })
})

describe('debug headers', () => {
  const config = (input: unknown) => telemetryConfig({ debugHeaders: input }).debugHeaders
  const listed = config({ allowFrom: ['203.0.113.0/24'] })

  it.each([
    ['nothing is configured', new DebugGate(config({}), undefined), 'x', false],
    ['the secret is empty', new DebugGate(config({}), ''), '', false],
    ['the token is right', new DebugGate(config({}), 'x'), 'x', true],
    ['the token is wrong', new DebugGate(config({}), 'x'), 'xx', false],
    ['the token is a part', new DebugGate(config({}), 'xx'), 'x', false],
    ['it did not ask', new DebugGate(listed, 'x'), undefined, false],
    ['the address is listed', new DebugGate(listed, undefined), '1', true],
  ])('when %s', (_, gate, asked, allowed) => {
    const headers = new HeaderList(asked === undefined ? [] : ['Meridian-Debug', asked])
    expect(gate.allows(exchangeOf({ headers }))).toBe(allowed)
  })

  it('cannot be split by what they quote', () => {
    const x = exchangeOf({}, { route: { id: 'a\r\nset-cookie: b', index: 0 }, decision: DECISION })
    const flat = debugHeaders(x)
    expect(flat.join('')).not.toMatch(/[\r\n]/)
    expect(flat[flat.indexOf('meridian-region') + 1]).toBe('eu')
  })
})

import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { Subject } from '../expression/expression.ts'
import { stringToBytes } from './bytes.ts'
import { isInspectable } from './response-window.ts'
import { importSeclang } from './seclang/import.ts'
import { exchangeOf, wafOf } from './waf.fixture.ts'

const RULES = `
SecDefaultAction "phase:4,log,deny,status:502"
SecRule RESPONSE_HEADERS:X-Debug "@rx ." "id:1,phase:3,deny,status:500"
SecRule RESPONSE_BODY "@pm ORA-00933 stacktrace" "id:2,phase:4,block,msg:'Leak'"`

function windowOf(headers: string[], settings: object = {}) {
  const { ruleset } = importSeclang({
    name: 'crs',
    files: [{ name: 'r.conf', text: RULES }],
    data: () => undefined,
  })
  const { waf, problems } = wafOf({
    files: { 'crs.json': ruleset },
    waf: {
      rulesets: [{ file: 'crs.json' }],
      responses: { body: true, leaks: 'off', window: '16B', limit: '1KiB', ...settings },
    },
  })
  expect(problems).toEqual([])
  const pass = waf.route(0)?.begin(new Subject(exchangeOf()))
  pass?.head()
  const list = new HeaderList(headers)
  const block = pass?.response(200, list)
  return { pass, block, window: pass?.responseBody(200, list) }
}

const HTML = ['Content-Type', 'text/html; charset=utf-8']

describe('the response phase', () => {
  it('blocks on headers', () => {
    expect(windowOf(['X-Debug', '1', ...HTML]).block).toMatchObject({ status: 500, rule: '1' })
  })

  it.each([
    [['Content-Type', 'text/event-stream'], 200],
    [['Content-Type', 'application/grpc'], 200],
    [['Content-Type', 'application/stream+json'], 200],
    [['Content-Type', 'application/x-ndjson'], 200],
    [['Content-Type', 'application/json-seq'], 200],
    [['Content-Type', 'image/png'], 200],
    [[...HTML, 'Content-Encoding', 'gzip'], 200],
    [HTML, 206],
    [HTML, 304],
    [HTML, 101],
    [[], 200],
  ])('never holds %j with %i', (headers, status) => {
    expect(isInspectable(status, new HeaderList(headers))).toBe(false)
  })

  it.each([
    ['text/html'],
    ['application/json'],
    ['application/problem+json; x=y'],
    ['image/svg+xml'],
  ])('asks about %s as its type says', (type) => {
    const isText = !type.startsWith('image/')
    expect(isInspectable(200, new HeaderList(['Content-Type', type]))).toBe(isText)
  })

  it('finds a phrase that lies over the border of two windows, and releases nothing after it', () => {
    const { window, pass } = windowOf(HTML)
    const sent: string[] = []
    let block: unknown
    for (const chunk of ['<html><body>some text ORA-0', '0933: SQL command not ended', ' more']) {
      const step = window?.push(stringToBytes(chunk))
      sent.push(...(step?.released ?? []).map((bytes) => String.fromCharCode(...bytes)))
      block ??= step?.block
    }
    expect(block).toMatchObject({ status: 502, rule: '2' })
    expect(sent.join('')).not.toContain('0933')
    expect(pass?.finish().map((verdict) => [verdict.rule, verdict.phase])).toEqual([
      ['2', 'response'],
    ])
  })

  it('holds no more than a window, and passes what comes after the limit', () => {
    const { window } = windowOf(HTML, { limit: '64B' })
    expect(window?.push(stringToBytes('short')).released).toEqual([])
    expect(window?.push(stringToBytes('x'.repeat(20))).released).toHaveLength(2)
    expect(window?.push(stringToBytes('y'.repeat(60))).released).toHaveLength(1)
    const late = window?.push(stringToBytes('stacktrace'))
    expect([late?.released.length, late?.block]).toEqual([1, undefined])
  })

  it('looks at a short body when it ends', () => {
    const { window } = windowOf(HTML)
    expect(window?.push(stringToBytes('STACKtrace'))).toMatchObject({ released: [] })
    expect(window?.end().block).toMatchObject({ rule: '2' })
    expect(window?.hasReleased).toBe(false)
  })

  it('is not there unless the config wants it', () => {
    expect(windowOf(HTML, { body: false }).window).toBeUndefined()
  })
})

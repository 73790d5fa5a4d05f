import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { parseTraceparent, Tracer, traceparent } from './trace-context.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

describe('traceparent', () => {
  it.each([
    { text: `00-${TRACE}-${SPAN}-01`, isSampled: true },
    { text: `00-${TRACE}-${SPAN}-00`, isSampled: false },
    { text: `00-${TRACE}-${SPAN}-03`, isSampled: true },
    { text: `00-${TRACE}-${SPAN}-fe`, isSampled: false },
    { text: `cc-${TRACE}-${SPAN}-01`, isSampled: true },
    { text: `cc-${TRACE}-${SPAN}-01-what-the-future-brings`, isSampled: true },
  ])('is read: $text', ({ text, isSampled }) => {
    expect(parseTraceparent(text)).toEqual({ traceId: TRACE, parentId: SPAN, isSampled })
  })

  it.each([
    '',
    'nonsense',
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-01 `,
    `cc-${TRACE}-${SPAN}-01.more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.slice(1)}-${SPAN}-01`,
    `0-${TRACE}-${SPAN}-01`,
    `00_${TRACE}_${SPAN}_01`,
  ])('is not read: %j', (text) => {
    expect(parseTraceparent(text)).toBeUndefined()
  })
})

describe('a tracer', () => {
  const tracer = (starts: boolean, sampling = 1) => {
    let state = 7
    const byte = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state >>> 24
    }
    const bytes = (count: number) => Uint8Array.from({ length: count }, byte)
    return new Tracer({ takesPart: starts, starts, sampling }, { next: () => 0, bytes })
  }
  const sent = (...fields: string[]) => new HeaderList(fields)
  const parent = `00-${TRACE}-${SPAN}-01`

  it('goes on with what a trusted proxy sent, in a span of its own', () => {
    const span = tracer(true, 0).begin(sent('Traceparent', parent, 'Tracestate', 'a=1,b=2'))
    expect(span).toMatchObject({
      traceId: TRACE,
      parentId: SPAN,
      isSampled: true,
      state: 'a=1,b=2',
    })
    expect(span?.spanId).toMatch(/^[0-9a-f]{16}$/)
    expect(traceparent(span!, SPAN)).toBe(parent)
  })

  it.each([
    { name: 'nobody trusted', fields: undefined },
    { name: 'no header', fields: [] },
    { name: 'two headers', fields: ['traceparent', parent, 'traceparent', parent] },
    { name: 'a broken one', fields: ['traceparent', 'x', 'tracestate', 'a=1'] },
  ])('begins a trace after $name', ({ fields }) => {
    const span = tracer(true).begin(fields === undefined ? undefined : sent(...fields))
    expect(span).toMatchObject({ parentId: '', isSampled: true, state: '' })
    expect(span?.traceId).toMatch(/^[0-9a-f]{32}$/)
    expect(span?.traceId).not.toBe(TRACE)
  })

  it('that does not take part begins nothing and has no span', () => {
    expect(tracer(false).begin(undefined)).toBeUndefined()
    expect(tracer(false).begin(sent('traceparent', 'x'))).toBeUndefined()
    expect(tracer(false).begin(sent('traceparent', parent))).toMatchObject({
      traceId: TRACE,
      spanId: '',
    })
  })

  it.each(['A=1', 'a', 'a=\u0007', 'a=1=2', `${'k=v,'.repeat(33)}`, `a=${'x'.repeat(600)}`])(
    'does not hand on %j as tracestate',
    (state) => {
      const span = tracer(true).begin(sent('traceparent', parent, 'tracestate', state))
      expect(span).toMatchObject({ traceId: TRACE, state: '' })
    },
  )

  it('samples the share that it is told, and decides alike for the same id', () => {
    const quarter = tracer(true, 0.25)
    const spans = Array.from({ length: 4000 }, () => quarter.begin(undefined)!)
    const sampled = spans.filter((span) => span.isSampled)
    expect(sampled.length / spans.length).toBeCloseTo(0.25, 1)
    expect(new Set(spans.map((span) => span.traceId)).size).toBe(4000)
    const half = tracer(true, 0.5)
    const same = Array.from({ length: 4000 }, () => half.begin(undefined)!)
    expect(same.map((span) => span.traceId)).toEqual(spans.map((span) => span.traceId))
    // Whoever keeps a quarter keeps a part of what others keep a half of.
    for (const [i, span] of spans.entries())
      if (span.isSampled) expect(same[i]?.isSampled).toBe(true)
    expect(same.every((span) => !span.isSampled)).toBe(false)
    expect(tracer(true, 0).begin(undefined)?.isSampled).toBe(false)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AuditEvent, AuditLog, brokenLink, type ChainHead, checkLine } from './audit.ts'

const event: AuditEvent = {
  principal: 'token',
  peer: '192.0.2.1',
  action: 'region.drain',
  target: 'eu',
  outcome: 'done',
  status: 200,
}

function logOf(events: readonly Partial<AuditEvent>[], head?: ChainHead) {
  const lines: string[] = []
  const log = new AuditLog(() => 0, { append: (line) => lines.push(line) }, head)
  for (const one of events) log.record({ ...event, ...one })
  return { log, lines }
}

/** The first line that does not hold, from 0; -1 for a log that is whole. */
function firstBroken(lines: readonly string[]): number {
  let before: ChainHead | undefined
  for (const [at, line] of lines.entries()) {
    const found = checkLine(line)
    if (typeof found === 'string' || brokenLink(found, before) !== undefined) return at
    before = found
  }
  return -1
}

const someEvent = fc.record({
  target: fc.string({ unit: 'binary', maxLength: 40 }),
  principal: fc.string({ maxLength: 20 }),
  reason: fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
  status: fc.integer({ min: 100, max: 599 }),
})

describe('the chain', () => {
  it('of whatever was recorded is whole, also over a restart', () => {
    fc.assert(
      fc.property(fc.array(someEvent, { maxLength: 8 }), fc.nat(8), (events, cut) => {
        const first = logOf(events.slice(0, cut))
        const second = logOf(events.slice(cut), first.log.state)
        expect(firstBroken([...first.lines, ...second.lines])).toBe(-1)
      }),
      { numRuns: 100 },
    )
  })

  it('shows every change of a character, every line taken out, put in or moved', () => {
    const { lines } = logOf(
      [1, 2, 3, 4, 5].map((i) => ({ target: `region-${i}`, detail: { i, text: 'a"b' } })),
    )
    fc.assert(
      fc.property(fc.nat(4), fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (row, at, to) => {
        const line = lines[row] as string
        const i = at % line.length
        const changed = line.slice(0, i) + to + line.slice(i + 1)
        fc.pre(changed !== line)
        const broken = firstBroken(lines.map((one, n) => (n === row ? changed : one)))
        expect(broken).toBe(row)
      }),
      { numRuns: 300 },
    )
    // The end may be missing: whoever wants to see that notes the head elsewhere.
    for (let row = 0; row < 4; row++) {
      expect(firstBroken(lines.filter((_, n) => n !== row))).toBe(row)
      const doubled = lines.flatMap((one, n) => (n === row ? [one, one] : [one]))
      expect(firstBroken(doubled)).toBe(row + 1)
    }
    expect(firstBroken([lines[1], lines[0]] as string[])).toBe(0)
  })

  it('begins at 1 with no predecessor', () => {
    const { lines, log } = logOf([{}, {}])
    expect(checkLine(lines[0] as string)).toMatchObject({ seq: 1, prev: '0'.repeat(64) })
    expect(firstBroken(lines.slice(1))).toBe(0)
    const forged = logOf([{}], { seq: 0, hash: log.state.hash })
    expect(firstBroken(forged.lines)).toBe(0)
  })

  it.each(['', '{}', 'text', '{"seq":1}', '{"a":1,"hash":"00"}', `{,"hash":"${'0'.repeat(64)}"}`])(
    'does not hold for %j',
    (line) => {
      expect(typeof checkLine(line)).toBe('string')
    },
  )
})

describe('refused attempts', () => {
  it('beyond some a minute are counted, and their count stands in the next entry', () => {
    let now = 0
    const lines: string[] = []
    const log = new AuditLog(() => now, { append: (line) => lines.push(line) })
    const refused = { ...event, outcome: 'refused', status: 401 } as const
    for (let i = 0; i < 1000; i++) log.record(refused)
    expect(lines).toHaveLength(60)
    log.record(event)
    expect(JSON.parse(lines[60] as string)).toMatchObject({ detail: { refusedBefore: 940 } })
    now = 60_000
    log.record(refused)
    expect(lines).toHaveLength(62)
    expect(log.state.unlisted).toBe(940)
    expect(firstBroken(lines)).toBe(-1)
  })

  it('with endless texts are cut', () => {
    const { lines } = logOf([{ target: 'x'.repeat(10_000), principal: 'y'.repeat(10_000) }])
    expect(lines[0]?.length).toBeLessThan(2000)
    expect(firstBroken(lines)).toBe(-1)
  })
})

import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { OutlierSection } from './../config/sections/health.ts'
import { HealthBoard, type HealthEvent } from './board.ts'
import { outlierRules } from './outlier.ts'

const RULES = {
  outlier: outlierRules(v.parse(OutlierSection, {})),
  active: { intervalMs: 5000, fastIntervalMs: 1000, timeoutMs: 2000, rise: 2, fall: 2 },
  maxEjected: 0.5,
}

function boardOf(...ids: string[]) {
  const events: HealthEvent[] = []
  const origins = ids.map((id) => ({ id, weight: 100 }))
  const board = new HealthBoard(
    [{ id: 'p', origins, ...RULES }],
    [{ id: 'r', pools: ['p'], spillBelow: 0 }],
    { next: () => 0.5, bytes: (count) => new Uint8Array(count) },
    (event) => events.push(event),
  )
  return { board, events }
}
const members = (...ids: string[]) => ids.map((id) => ({ id, weight: 100 }))
const tiers = (board: HealthBoard) =>
  Object.fromEntries(board.states().map(({ id, tier }) => [id, tier]))
const bad = { ok: false, detail: 'refused', immediate: true }

describe('a pool that gets other origins', () => {
  it('keeps what is known of those that stay, starts new ones slowly, drains the others', () => {
    const { board, events } = boardOf('a', 'b')
    board.onProbe('a', bad, 0)
    const indexOfB = board.indexOf('b')
    board.setOrigins('p', members('a', 'c'), 1000)
    expect(tiers(board)).toEqual({ a: 'down', b: 'draining', c: 'unknown' })
    expect(board.indexOf('b')).toBe(indexOfB)
    expect(board.slowStart(board.indexOf('c'), 30_000, 1000)).toBeCloseTo(0.1)
    expect(board.slowStart(board.indexOf('c'), 30_000, 16_000)).toBeCloseTo(0.5)
    expect(board.usableShare('p')).toBe(0.5)
    expect(events.at(-1)).toMatchObject({ origin: 'b', to: 'draining' })
    // What is still under way there may be reported, and changes nothing.
    for (let i = 0; i < 5; i++) board.report(indexOfB, 'reset', 1001 + i)
    expect(tiers(board).b).toBe('draining')
    // The last one that may be used is never given up.
    for (let i = 0; i < 5; i++) board.report(board.indexOf('c'), 'reset', 2001 + i)
    expect(tiers(board).c).toBe('unknown')
  })

  it('has a region down when none of them may be used', () => {
    const { board } = boardOf('a', 'b')
    board.onProbe('a', bad, 0)
    expect(board.low).toBe(1)
    board.setOrigins('p', members('a'), 1)
    expect(board.low).toBe(0)
    board.setOrigins('p', members('a', 'b'), 2)
    expect(board.low).toBe(1)
    expect(tiers(board)).toEqual({ a: 'down', b: 'unknown' })
  })

  it('gives numbers of forgotten ones to others, never those of present ones', () => {
    const { board } = boardOf('a', 'b')
    const b = board.indexOf('b')
    board.release('b')
    expect(board.indexOf('b')).toBe(b)
    board.setOrigins('p', members('a'), 0)
    board.release('b')
    expect(board.indexOf('b')).toBe(-1)
    expect(tiers(board)).toEqual({ a: 'unknown' })
    for (let i = 0; i < 1000; i++) {
      board.setOrigins('p', members('a', `x${i}`), i)
      expect(board.indexOf(`x${i}`)).toBeLessThan(3)
      board.release(`x${i - 1}`)
    }
  })

  it('takes over what is known under another name, and forgets it when told to', () => {
    const { board } = boardOf('o')
    board.onProbe('o', bad, 0)
    board.setOrigins('p', [{ id: 'o@1', weight: 100, knownAs: 'o' }, ...members('o@2')], 1)
    board.release('o')
    expect(tiers(board)).toEqual({ 'o@1': 'down', 'o@2': 'unknown' })
    board.renew('o@1', 2)
    expect(tiers(board)).toEqual({ 'o@1': 'unknown', 'o@2': 'unknown' })
  })
})

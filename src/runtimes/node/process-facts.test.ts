import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { nodeClock } from './clock.ts'
import { loopDelay } from './process-facts.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Keeps the largest value until it is reset; not a number while empty, as Node's. */
function histogram() {
  let most = Number.NaN
  return {
    record: (ms: number) => {
      most = Number.isNaN(most) ? ms * 1e6 : Math.max(most, ms * 1e6)
    },
    percentile: () => most,
    reset: () => {
      most = Number.NaN
    },
  }
}

it('tells every reader the same, however many there are', () => {
  const seen = histogram()
  const delay = loopDelay(seen, nodeClock)
  expect(delay()).toBe(0)
  seen.record(80)
  // Three scrapers, one right after the other.
  expect([delay(), delay(), delay()]).toEqual([0.08, 0.08, 0.08])
  seen.record(20)
  expect(delay()).toBe(0.08)
})

it('forgets after two parts of the clock', () => {
  const seen = histogram()
  const delay = loopDelay(seen, nodeClock)
  seen.record(80)
  vi.advanceTimersByTime(15_000)
  seen.record(30)
  expect([delay(), delay()]).toEqual([0.08, 0.08])
  vi.advanceTimersByTime(14_999)
  expect(delay()).toBe(0.08)
  vi.advanceTimersByTime(1)
  expect([delay(), delay()]).toEqual([0.03, 0.03])
  vi.advanceTimersByTime(15_000)
  expect(delay()).toBe(0)
})

import { describe, expect, it } from 'vitest'
import { HedgeBudget, RetryBudget } from './retry-budget.ts'

/** Asks for a retry after each request, for `seconds` at `rate` a second. */
function storm(budget: RetryBudget, rate: number, seconds: number, from = 0): number {
  let granted = 0
  for (let i = 0; i < rate * seconds; i++) {
    const now = from + (i * 1000) / rate
    budget.onRequest(now)
    if (budget.mayRetry(now)) granted++
  }
  return granted
}

describe('the retry budget', () => {
  it.each([
    [0, 5, 60, 100],
    [20, 5, 60, 100],
    [20, 1000, 60, 20.5],
    [50, 1000, 60, 51],
    [100, 1000, 10, 100],
  ])(
    'of %i %% at %i requests a second for %i s grants about %f %%',
    (percent, rate, seconds, share) => {
      const granted = storm(new RetryBudget(percent), rate, seconds)
      const total = rate * seconds
      expect(granted).toBeLessThanOrEqual((total * share) / 100 + seconds * 10 + 100)
      expect(granted).toBeGreaterThanOrEqual(Math.min(total, (total * percent) / 100) * 0.95)
    },
  )

  it('saves up no more than its window, however long it was quiet', () => {
    const budget = new RetryBudget(20)
    for (let now = 0; now < 3_600_000; now += 10) budget.onRequest(now)
    let granted = 0
    while (budget.mayRetry(3_600_000)) granted++
    // A fifth of ten seconds at a hundred a second, and the floor of ten seconds.
    expect(granted).toBeGreaterThan(250)
    expect(granted).toBeLessThan(310)
    expect(budget.exhausted).toBe(1)
  })

  it('is not made new by a reload', () => {
    const budget = new RetryBudget(20)
    while (budget.mayRetry(0)) {
      // Until it is empty.
    }
    expect(new RetryBudget(20, budget).mayRetry(1)).toBe(false)
    expect(new RetryBudget(20, budget).mayRetry(1000)).toBe(true)
    expect(new RetryBudget(20, budget).exhausted).toBe(1)
  })

  it('of hedges is a share and no more', () => {
    const budget = new HedgeBudget()
    let taken = 0
    for (let i = 0; i < 10_000; i++) {
      budget.onRequest(5)
      if (budget.take()) taken++
    }
    expect(taken).toBeGreaterThan(490)
    expect(taken).toBeLessThanOrEqual(501)
  })
})

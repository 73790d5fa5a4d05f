/** A slice of `npm run simulate`. */
import { expect, it } from 'vitest'
import { simulate, summaryText } from './simulation.ts'

it.each([1, 2])('keeps every promise through half an hour of faults (seed %i)', async (seed) => {
  const summary = await simulate({ seed, hours: 0.5 })
  expect(summary.violations).toEqual([])
  expect(summary.requests).toBeGreaterThan(5000)
  expect(summary.masked).toBeGreaterThan(50)
  // A failure in spite of a well region is allowed only around a change, which is rare.
  const around = ['those that were well had just recovered', 'several regions had just changed']
  const failed = around.reduce((sum, why) => sum + (summary.excused[why] ?? 0), 0)
  expect(failed / summary.requests).toBeLessThan(0.002)
})

it('is the same, byte for byte, for the same seed, and another for another', async () => {
  const texts: string[] = []
  for (const seed of [3, 3, 4]) texts.push(summaryText(await simulate({ seed, hours: 0.1 })))
  expect(texts[1]).toBe(texts[0])
  expect(texts[2]).not.toBe(texts[0])
})

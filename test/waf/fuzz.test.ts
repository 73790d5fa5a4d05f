/** A small, seeded slice of `npm run waf:fuzz`: the same requests at every run. */
import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { fuzz } from './fuzz.mjs'

const dir = process.env.CRS_DIR ?? ''

it('survives three thousand odd requests and reads back what it is given', async () => {
  const crs = existsSync(dir) ? dir : undefined
  const result = await fuzz({ count: 3000, seed: 20, crs })
  expect(result.faults).toEqual([])
  expect(result).toMatchObject({ done: 3000, roundTrips: 3000, exhausted: 0 })
  // The requests are no good if nearly all are refused, or none matches or is blocked.
  expect(result.refused).toBeLessThan(1500)
  expect(result.matched).toBeGreaterThan(500)
  expect(result.blocked).toBeGreaterThan(100)
  // A few KiB each: far from the budget of a request.
  expect(result.mostWork).toBeLessThan(1 << 26)
}, 60_000)

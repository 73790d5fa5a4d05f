import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CLOUD_REGIONS, findCloudRegion } from './cloud-regions.ts'

describe('cloud regions', () => {
  it('are the ones that geo/regions.json tells people', () => {
    const file = JSON.parse(
      readFileSync(new URL('../../geo/regions.json', import.meta.url), 'utf8'),
    ) as { regions: { city: string }[] }
    expect(file.regions.map(({ city: _city, ...region }) => region)).toEqual(CLOUD_REGIONS)
  })

  it('knows an id that clouds use for different places', () => {
    expect(findCloudRegion('eu-west-1')).toBe('ambiguous')
    expect(findCloudRegion('aws:eu-west-1')).toMatchObject({ tags: ['IE', 'EU'] })
    expect(findCloudRegion('alibaba:eu-west-1')).toMatchObject({ tags: ['GB', 'UK'] })
    expect(findCloudRegion('eu-central-1')).toMatchObject({ tags: ['DE', 'EU'] })
    expect(findCloudRegion('mars-1')).toBeUndefined()
  })
})

import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { compileForCheck } from '../../src/cli/compile-check.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigSchema } from '../../src/config/schema.ts'

const FOLDER = new URL('../../examples/', import.meta.url)
const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'))

/** Keys and certificates are not in the repository; that they are asked for is enough. */
const load = (text: string, file: string) =>
  loadConfig(text, { file, readSecret: () => 's'.repeat(32), readFile: () => '' })

describe('examples', () => {
  it('are there', () => {
    expect(names).toEqual(
      expect.arrayContaining([
        'fleet.json',
        'full.json',
        'hybrid.json',
        'minimal.json',
        'regions.json',
        'starter.json',
      ]),
    )
  })

  it.each(names)('%s is valid and names its schema', async (name) => {
    const text = readFileSync(new URL(name, FOLDER), 'utf8')
    const { config } = await load(text, name)
    expect(config.$schema).toBe('../meridian.schema.json')
    expect(text).toContain('//')
  })

  it.each(names)('%s compiles, without a warning', async (name) => {
    const text = readFileSync(new URL(name, FOLDER), 'utf8')
    expect(await compileForCheck(await load(text, name))).toEqual([])
  })

  it('full.json has every section', async () => {
    const text = readFileSync(new URL('full.json', FOLDER), 'utf8')
    const { config } = await load(text, 'full.json')
    expect(Object.keys(config).sort()).toEqual(Object.keys(ConfigSchema.entries).sort())
    for (const key of Object.keys(ConfigSchema.entries)) expect(text).toContain(`\n  "${key}":`)
  })

  it('regions.json has three regions and keeps EU clients in the EU', async () => {
    const text = readFileSync(new URL('regions.json', FOLDER), 'utf8')
    const { config } = await load(text, 'regions.json')
    expect(config.regions.map((region) => region.id)).toEqual([
      'eu-central-1',
      'us-east-1',
      'ap-southeast-1',
    ])
    expect(config.residency).toMatchObject([{ id: 'gdpr', allowTags: ['GDPR'] }])
  })
})

/** The wrangler.toml of the project, and what the build refuses. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readForEdge } from '../../src/cli/edge-bundle.ts'
import { trapsIn } from '../../src/runtimes/workers/config-traps.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

describe('wrangler.toml', () => {
  it('builds the config of the example, which works on Workers', async () => {
    const path = /edge build --config (\S+)/.exec(read('wrangler.toml'))?.[1] ?? ''
    const { warnings } = await readForEdge(fileURLToPath(new URL(`../../${path}`, import.meta.url)))
    expect(warnings).toEqual([])
  })

  it('has none of the traps', () => {
    expect(trapsIn(read('wrangler.toml'))).toEqual([])
  })

  it.each([
    { text: '[cache]\nenabled = true', trap: 'Workers Cache' },
    { text: '[env.staging.cache]\nenabled = true', trap: 'Workers Cache' },
    { text: 'cache = { enabled = true }', trap: 'Workers Cache' },
    { text: 'vars = { A = "1" }\nEDGE_TOKEN = "x"', trap: 'wrangler secret' },
    { text: '[env.staging]\nname = "x"', trap: 'inherits no bindings' },
  ])('refuses $text', ({ text, trap }) => {
    expect(trapsIn(text).join()).toContain(trap)
  })

  it('keeps comments and repeated bindings out of it', () => {
    expect(trapsIn('# [cache]\nname = "x"')).toEqual([])
    const repeated = '[env.staging]\nname = "x"\n[[env.staging.durable_objects.bindings]]'
    expect(trapsIn(repeated)).toEqual([])
  })

  it('pins a compatibility date that the installed runtime knows', () => {
    const { version } = JSON.parse(read('node_modules/workerd/package.json')) as { version: string }
    const built = version.split('.')[1] ?? ''
    const date = /compatibility_date = "([0-9-]+)"/.exec(read('wrangler.toml'))?.[1] ?? ''
    expect(Number(date.replaceAll('-', ''))).toBeLessThanOrEqual(Number(built))
  })
})

it('wrangler and what goes with it are pinned exactly', () => {
  const { devDependencies } = JSON.parse(read('package.json')) as {
    devDependencies: Record<string, string>
  }
  const pinned = ['wrangler', '@cloudflare/vitest-pool-workers', '@cloudflare/workers-types']
  for (const name of pinned) expect(devDependencies[name]).toMatch(/^\d+\.\d+\.\d+$/)
})

/** What the build made: small enough, and nothing in it that the page's policy forbids. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { dashboardFiles } from '../../src/runtimes/node/dashboard-files.ts'

const FOLDER = fileURLToPath(new URL('../../dist/dashboard/', import.meta.url))
const BUDGET_BYTES = 90 * 1024

describe('the built dashboard', () => {
  const names = readdirSync(FOLDER)
  const text = (name: string) => readFileSync(`${FOLDER}${name}`, 'utf8')

  it('is at most 90 KiB, all of it together and compressed', () => {
    const total = names.reduce(
      (sum, name) => sum + gzipSync(readFileSync(`${FOLDER}${name}`), { level: 9 }).length,
      0,
    )
    expect(total).toBeGreaterThan(20 * 1024)
    expect(total).toBeLessThanOrEqual(BUDGET_BYTES)
  })

  it('names its own files only, and has nothing inline', () => {
    const page = text('index.html')
    const named = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, name]) => name)
    expect(named).toHaveLength(3)
    for (const name of named) expect(names).toContain(name)
    expect(page).not.toMatch(/<style|style="|\son\w+="|<script(?![^>]*\ssrc=)/i)
    const script = text(names.find((name) => name.endsWith('.js'))!)
    expect(script).toContain(names.find((name) => name.startsWith('land-'))!)
    // XML namespaces are names, not places.
    const addresses = [...script.matchAll(/https?:\/\/[a-z0-9.-]+/gi)].map(([one]) => one)
    expect(addresses.filter((one) => one !== 'http://www.w3.org')).toEqual([
      // The explanation of an event, and two examples in fields.
      ...addresses.filter((one) => one === 'http://shop.example'),
    ])
  })

  it('is served with types, and kept by browsers where the name says what is in it', () => {
    const files = dashboardFiles()
    expect([...(files?.keys() ?? [])].sort()).toEqual([...names].sort())
    for (const [name, file] of files ?? []) {
      expect([name, file.isImmutable]).toEqual([name, !/^(index\.html|icon\.svg)$/.test(name)])
      expect(file.gzip.length).toBeGreaterThan(20)
    }
  })
})

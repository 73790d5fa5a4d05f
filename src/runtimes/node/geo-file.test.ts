import { copyFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { buildMmdb } from '../../geo/mmdb.fixture.ts'
import { GeoSlots } from '../../geo/place.ts'
import { MmdbGeoSource } from '../../geo/source.ts'
import { parseIp } from '../../http/ip.ts'
import type { Clock } from '../../ports.ts'
import {
  defaultDatabasePath,
  GeoFileError,
  GeoFileWatcher,
  type GeoReload,
  openGeoFiles,
} from './geo-file.ts'

/** Timers that only run when the test says so. */
class ManualClock implements Clock {
  timers: (() => void)[] = []
  now(): number {
    return 0
  }
  monotonic(): number {
    return 0
  }
  after(_delay: number, run: () => void): () => void {
    this.timers.push(run)
    return () => {
      this.timers = this.timers.filter((timer) => timer !== run)
    }
  }
}

const WORLD = ['DE', 'US', 'SG', 'FR', 'BR', 'JP', 'ZA', 'IN']

/** A whole world in eight countries by the first three bits. */
function world(options: Parameters<typeof buildMmdb>[1] = {}, countries = WORLD): Uint8Array {
  const networks = countries.map((code, i) => ({
    cidr: `${i * 32}.0.0.0/3`,
    record: { country_code: code },
  }))
  const ipv6 = countries.map((code, i) => ({
    cidr: `${(0x2000 + i * 0x200).toString(16)}::/7`,
    record: { country_code: code },
  }))
  return buildMmdb(options.ipVersion === 4 ? networks : [...networks, ...ipv6], options)
}

let directory: string
let path: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'meridian-geo-'))
  path = join(directory, 'geo.mmdb')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const options = (paths: readonly string[]) => ({ paths, canaries: 1000, allowIpv4Only: false })

describe('openGeoFiles', () => {
  it('opens the default database: both families, nearly all countries', async () => {
    const { databases, survey } = await openGeoFiles({ ...options([]), canaries: 4000 })
    expect(databases[0]?.metadata.ipVersion).toBe(6)
    expect(survey.countries).toBeGreaterThan(80)
    const source = new MmdbGeoSource(new GeoSlots(), databases)
    const country = (text: string) => source.lookup(parseIp(text)).country
    expect(country('8.8.8.8')).toBe('US')
    expect(country('::ffff:8.8.8.8')).toBe('US')
    expect(country('64:ff9b::808:808')).toBe('US')
    expect(country('2a00:1450:4001::1')).toBe('DE')
    expect(country('127.0.0.1')).toBeNull()
    expect(country('10.1.2.3')).toBeNull()
    expect(country('fe80::1')).toBeNull()
  })

  it('joins separate IPv4 and IPv6 files', async () => {
    const folder = dirname(defaultDatabasePath())
    const { survey } = await openGeoFiles(
      options([join(folder, 'dbip-country-ipv4.mmdb'), join(folder, 'dbip-country-ipv6.mmdb')]),
    )
    expect(survey.known6).toBeGreaterThan(400)
    expect(survey.known4).toBeGreaterThan(400)
  })

  it.each<[string, () => Uint8Array | undefined, RegExp]>([
    ['missing', () => undefined, /no such file/],
    ['empty', () => new Uint8Array(0), /empty/],
    ['gzipped', () => gzipSync(world()), /gzip/],
    ['truncated', () => world().subarray(0, 200), /truncated/],
    ['IPv4 only', () => world({ ipVersion: 4 }), /IPv4 only/],
    [
      'almost without data',
      () => buildMmdb([{ cidr: '1.0.0.0/8', record: { country_code: 'AU' } }]),
      /only \d+ of/,
    ],
    ['full of damaged records', () => damage(world()), /is damaged: unknown data type/],
  ])('refuses a file that is %s, in one sentence with its name', async (_name, bytes, message) => {
    const content = bytes()
    if (content !== undefined) await writeFile(path, content)
    const error = await openGeoFiles(options([path])).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GeoFileError)
    expect((error as GeoFileError).message).toMatch(message)
    expect((error as GeoFileError).message).toContain(path)
  })

  it('takes an IPv4-only file when told so, and then knows no IPv6 client', async () => {
    await writeFile(path, world({ ipVersion: 4 }))
    const { databases } = await openGeoFiles({ ...options([path]), allowIpv4Only: true })
    const source = new MmdbGeoSource(new GeoSlots(), databases)
    expect(source.lookup(parseIp('33.1.1.1')).country).toBe('US')
    expect(source.lookup(parseIp('2a00:1450::1')).slot).toBe(0)
  })
})

/** Turns the records' strings into a type that does not exist. */
function damage(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice()
  for (let i = 0; i + 3 < copy.length - 400; i++) {
    if (copy[i] === 0x42 && copy[i + 1]! > 64 && copy[i + 2]! > 64) copy.set([0x00, 0xf0], i)
  }
  return copy
}

describe('GeoFileWatcher', () => {
  async function watch() {
    const clock = new ManualClock()
    const source = new MmdbGeoSource(new GeoSlots())
    const results: GeoReload[] = []
    const watcher = await GeoFileWatcher.start(source, options([path]), clock, 1000, (result) =>
      results.push(result),
    )
    const country = () => source.lookup(parseIp('33.1.1.1')).country
    return { clock, source, results, watcher, country }
  }

  it('swaps to a good file, and keeps what it has when a bad one comes', async () => {
    await writeFile(path, world())
    const { source, results, watcher, country } = await watch()
    expect(country()).toBe('US')

    const replacements: [string, () => Promise<void>][] = [
      ['truncated', () => truncate(path, 300)],
      ['empty', () => writeFile(path, '')],
      ['gzipped', () => writeFile(path, gzipSync(world()))],
      ['IPv4 only', () => writeFile(path, world({ ipVersion: 4 }))],
      ['older', () => writeFile(path, world({ buildEpoch: 1_500_000_000 }))],
      [
        'half the countries',
        () => writeFile(path, world({}, ['DE', 'DE', 'DE', 'DE', 'US', 'US', 'US', 'US'])),
      ],
      ['gone', () => rm(path)],
    ]
    for (const [name, replace] of replacements) {
      const { version } = source
      await replace()
      expect(await watcher.check(), `${name}: still being written?`).toBeUndefined()
      expect((await watcher.check())?.outcome, name).toBe('refused')
      expect(await watcher.check(), `${name}: reported once`).toBeUndefined()
      expect(country(), name).toBe('US')
      expect(source.version, name).toBe(version)
    }

    const next = join(directory, 'next')
    await writeFile(next, world({ buildEpoch: 1_790_000_000 }, ['US', 'DE', ...WORLD.slice(2)]))
    await rename(next, path)
    await watcher.check()
    expect(await watcher.check()).toMatchObject({ outcome: 'swapped', countries: 7 })
    expect(country()).toBe('DE')
    expect(results.map((result) => result.outcome)).toEqual([
      ...replacements.map(() => 'refused'),
      'swapped',
    ])
    watcher.stop()
  })

  it('looks again after each interval until it is stopped', async () => {
    await copyFile(defaultDatabasePath(), path)
    const { clock, watcher, source } = await watch()
    const { version } = source
    expect(clock.timers).toHaveLength(1)
    clock.timers.shift()?.()
    await expect.poll(() => clock.timers.length).toBe(1)
    expect(source.version).toBe(version)
    watcher.stop()
    expect(clock.timers).toHaveLength(0)
  })
})

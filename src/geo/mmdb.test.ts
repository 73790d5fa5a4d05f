import fc from 'fast-check'
import { Reader, type Response } from 'mmdb-lib'
import { describe, expect, it } from 'vitest'
import { parseIp } from '../http/ip.ts'
import { buildMmdb, type FixtureNetwork } from './mmdb.fixture.ts'
import { Mmdb, MmdbError, NO_RECORD } from './mmdb.ts'

const countries = ['DE', 'US', 'SG', 'FR', 'BR', 'JP', 'ZA']

const ipv4Network = fc
  .tuple(fc.nat(0xffffffff), fc.integer({ min: 1, max: 32 }), fc.constantFrom(...countries))
  .map(([word, bits, country]) => {
    const first = (bits === 32 ? word : word & ~(2 ** (32 - bits) - 1)) >>> 0
    const text = [24, 16, 8, 0].map((shift) => (first >>> shift) & 255).join('.')
    return { cidr: `${text}/${bits}`, record: { country_code: country } }
  })
const ipv6Network = fc
  .tuple(
    fc.nat(0x0fff),
    fc.nat(0xffff),
    fc.integer({ min: 16, max: 48 }),
    fc.constantFrom(...countries),
  )
  .map(([a, b, bits, country]) => {
    const first = 0x20030000 + a * 65_536 + b
    const kept = bits >= 32 ? first : (first & ~(2 ** (32 - bits) - 1)) >>> 0
    return {
      cidr: `${(kept >>> 16).toString(16)}:${(kept & 0xffff).toString(16)}::/${bits}`,
      record: { country_code: country },
    }
  })

/** Addresses at and around the edges of the networks, where a reader goes wrong first. */
function probes(networks: readonly FixtureNetwork[]): string[] {
  const texts = ['0.0.0.0', '255.255.255.255', '8.8.8.8', '2001:4860::8888', 'ffff::1']
  for (const { cidr } of networks) {
    const base = cidr.split('/')[0]!
    texts.push(base)
    if (base.includes('.')) {
      const word = parseIp(base)!.words[0]!
      for (const near of [word - 1, word + 1, word + 0xffff]) {
        const wrapped = near >>> 0
        texts.push([24, 16, 8, 0].map((shift) => (wrapped >>> shift) & 255).join('.'))
      }
    } else {
      texts.push(base.replace('::', ':1::1'), `${base}ffff`)
    }
  }
  return texts
}

describe('Mmdb', () => {
  it('answers as an independent reader does, for every tree', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(ipv4Network, ipv6Network), { minLength: 1, maxLength: 40 }),
        fc.constantFrom(24 as const, 28 as const, 32 as const),
        (networks, recordSize) => {
          const bytes = buildMmdb(networks, { recordSize })
          const mine = new Mmdb(bytes)
          const reference = new Reader<Response>(Buffer.from(bytes))
          for (const text of probes(networks)) {
            const ip = parseIp(text)!
            const record = mine.find(ip)
            const answer = record === NO_RECORD ? null : { ...(mine.decode(record) as object) }
            expect(answer, text).toEqual(reference.get(ip.text))
          }
        },
      ),
      { numRuns: 150 },
    )
  })

  it('finds no record for IPv6 in a tree that has only IPv4', () => {
    const mmdb = new Mmdb(
      buildMmdb([{ cidr: '0.0.0.0/1', record: { country_code: 'DE' } }], { ipVersion: 4 }),
    )
    expect(mmdb.find(parseIp('10.1.2.3')!)).not.toBe(NO_RECORD)
    expect(mmdb.find(parseIp('2a00:1450::1')!)).toBe(NO_RECORD)
    expect(mmdb.find(parseIp('::ffff:10.1.2.3')!)).toBe(mmdb.find(parseIp('10.1.2.3')!))
  })

  it('decodes what is wanted of a record and steps over the rest', () => {
    const record = {
      names: { de: 'Österreich', en: 'Austria' },
      country: { iso_code: 'AT', names: { en: 'Austria' } },
      list: [{ a: 1, b: 'x'.repeat(400) }, { a: 2 }],
      location: { latitude: 48.25, longitude: -16.5, accuracy_radius: 20 },
      flag: true,
    }
    const mmdb = new Mmdb(buildMmdb([{ cidr: '1.0.0.0/8', record }]))
    const at = mmdb.find(parseIp('1.2.3.4')!)
    expect(JSON.parse(JSON.stringify(mmdb.decode(at)))).toEqual(record)
    const part = mmdb.decode(at, { country: { iso_code: true }, list: { a: true }, flag: true })
    expect(JSON.parse(JSON.stringify(part))).toEqual({
      country: { iso_code: 'AT' },
      list: [{ a: 1 }, { a: 2 }],
      flag: true,
    })
  })

  const good = buildMmdb([{ cidr: '1.0.0.0/8', record: { country_code: 'AU' } }])
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)
  it.each([
    ['empty', new Uint8Array(0), /empty/],
    ['gzipped', Uint8Array.of(0x1f, 0x8b, 8, 0, 0), /gzip/],
    ['zipped', Uint8Array.of(0x50, 0x4b, 3, 4, 0), /zip/],
    ['a web page', text('<!doctype html><title>403</title>'), /web page/],
    ['text', text('1.0.0.0,1.0.0.255,AU'), /no MaxMind DB metadata/],
    ['cut at the end', good.subarray(0, good.length - 40), /cut off|metadata/],
    ['cut before the metadata', good.subarray(0, 300), /no MaxMind DB metadata/],
    ['missing its first half', good.subarray(good.length >> 1), /truncated|separated|damaged/],
  ])('refuses a file that is %s', (_name, bytes, message) => {
    expect(() => new Mmdb(bytes)).toThrow(MmdbError)
    expect(() => new Mmdb(bytes)).toThrow(message)
  })

  it('refuses or survives any damage: never loops, never throws anything else', () => {
    const bytes = buildMmdb([
      { cidr: '1.0.0.0/8', record: { country: { iso_code: 'AU' } } },
      { cidr: '2a00::/16', record: { country_code: 'DE', latitude: 50.5 } },
    ])
    const addresses = ['1.1.1.1', '9.9.9.9', '2a00::1'].map((ip) => parseIp(ip)!)
    let refused = 0
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (edits) => {
          const damaged = bytes.slice()
          for (const [at, value] of edits) damaged[at] = value
          try {
            const mmdb = new Mmdb(damaged)
            for (const ip of addresses) {
              const record = mmdb.find(ip)
              if (record !== NO_RECORD) mmdb.decode(record)
            }
          } catch (error) {
            expect(error).toBeInstanceOf(MmdbError)
            refused++
          }
        },
      ),
      { numRuns: 2000 },
    )
    expect(refused).toBeGreaterThan(200)
  })
})

import { describe, expect, it } from 'vitest'
import { type Client, HeaderList } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import { COUNTRIES, countryOf } from './countries.ts'
import { GeoLocator, type PlatformPlace } from './locate.ts'
import { buildMmdb } from './mmdb.fixture.ts'
import { Mmdb, type MmdbValue } from './mmdb.ts'
import { GeoSlots, PlaceInterner } from './place.ts'
import { MmdbGeoSource } from './source.ts'

function sourceOf(record: MmdbValue): MmdbGeoSource {
  return new MmdbGeoSource(new GeoSlots(), [new Mmdb(buildMmdb([{ cidr: '1.0.0.0/8', record }]))])
}

describe('MmdbGeoSource', () => {
  it.each<[string, MmdbValue, object]>([
    [
      'MaxMind city',
      {
        continent: { code: 'NA' },
        country: { iso_code: 'DE', is_in_european_union: false },
        location: { latitude: 50.1, longitude: 8.7, accuracy_radius: 20 },
        traits: { autonomous_system_number: 3320 },
      },
      {
        country: 'DE',
        continent: 'EU',
        isEuropeanUnion: true,
        latitude: 50.1,
        longitude: 8.7,
        radiusKm: 20,
        asn: 3320,
      },
    ],
    [
      'the middle of a country in place of a point',
      {
        country: { iso_code: 'US' },
        location: { latitude: 37.751, longitude: -97.822, accuracy_radius: 1000 },
      },
      { country: 'US', latitude: 40, longitude: -83, radiusKm: 0 },
    ],
    [
      'ip-location-db country',
      { country_code: 'SG' },
      { country: 'SG', latitude: 1.4, longitude: 103.8 },
    ],
    [
      'ip-location-db city',
      { country_code: 'AU', latitude: -37.75, longitude: 144.5 },
      { country: 'AU', latitude: -37.75, longitude: 144.5, continent: 'OC' },
    ],
    [
      'IPinfo',
      { country: 'France', country_code: 'FR', continent_code: 'EU', asn: 'AS3215' },
      { country: 'FR', asn: 3215, isEuropeanUnion: true },
    ],
    [
      'IPinfo with the code under country',
      { country: 'GB', lat: '51.5', lng: '-0.1' },
      { country: 'GB', isEuropeanUnion: false, latitude: 51.5 },
    ],
    [
      'zero coordinates',
      { country_code: 'JP', latitude: 0, longitude: 0 },
      { country: 'JP', latitude: 35.6 },
    ],
    ['a country that is none', { country_code: 'ZZ' }, { slot: 0, country: null, source: 'none' }],
    [
      'only where the network is registered',
      { registered_country: { iso_code: 'US' } },
      { slot: 0, country: null },
    ],
    ['an empty record', {}, { slot: 0 }],
    ['a record that is no map', 'DE', { slot: 0 }],
  ])('reads %s', (_name, record, expected) => {
    expect(sourceOf(record).lookup(parseIp('1.2.3.4'))).toMatchObject(expected)
  })

  it('gives one frozen place to all addresses of a record, and unknown to the rest', () => {
    const source = sourceOf({ country_code: 'DE' })
    const place = source.lookup(parseIp('1.2.3.4'))
    expect(source.lookup(parseIp('::ffff:1.200.0.9'))).toBe(place)
    expect(Object.isFrozen(place)).toBe(true)
    for (const ip of [parseIp('9.9.9.9'), parseIp('2a00::1'), undefined]) {
      expect(source.lookup(ip)).toMatchObject({ slot: 0, country: null, latitude: Number.NaN })
    }
  })

  it('never gives a slot to two places, over databases and swaps', () => {
    const slots = new GeoSlots()
    const open = (cidr: string, country: string): Mmdb =>
      new Mmdb(buildMmdb([{ cidr, record: { country_code: country } }]))
    const source = new MmdbGeoSource(slots, [open('1.0.0.0/8', 'DE'), open('2a00::/16', 'FR')])
    const before = ['1.1.1.1', '2a00::1'].map((ip) => source.lookup(parseIp(ip)))
    expect(before.map((place) => place.country)).toEqual(['DE', 'FR'])
    const version = source.version
    source.swap([open('1.0.0.0/8', 'US')])
    expect(source.version).not.toBe(version)
    const after = source.lookup(parseIp('1.1.1.1'))
    expect(after.country).toBe('US')
    expect(new Set([...before, after].map((place) => place.slot)).size).toBe(3)
    expect(source.lookup(parseIp('2a00::1')).slot).toBe(0)
  })
})

describe('GeoLocator', () => {
  const headerNames = { country: 'x-geo-country', latitude: 'x-geo-lat', longitude: 'x-geo-lon' }
  const client = (viaTrustedProxy: boolean): Client => ({
    ip: parseIp('1.2.3.4'),
    port: 1,
    peer: parseIp('10.0.0.1'),
    viaTrustedProxy,
    tls: null,
  })
  const germanHeaders = { 'X-Geo-Country': 'DE' }

  it.each<{
    name: string
    trusted: boolean
    headers: Record<string, string>
    platform?: PlatformPlace
    expected: object
  }>([
    {
      name: 'a trusted proxy',
      trusted: true,
      headers: germanHeaders,
      expected: { country: 'DE', source: 'header' },
    },
    {
      name: 'anybody',
      trusted: false,
      headers: germanHeaders,
      expected: { country: 'AU', source: 'mmdb' },
    },
    {
      name: 'Tor',
      trusted: true,
      headers: { 'X-Geo-Country': 'T1' },
      expected: { country: 'AU', source: 'mmdb' },
    },
    {
      name: 'coordinates',
      trusted: true,
      headers: { 'X-Geo-Country': 'US', 'X-Geo-Lat': '37.34', 'X-Geo-Lon': '-121.9' },
      expected: { country: 'US', latitude: 37.5, longitude: -122 },
    },
    {
      name: 'coordinates that are none',
      trusted: true,
      headers: { 'X-Geo-Country': 'US', 'X-Geo-Lat': '1e9', 'X-Geo-Lon': 'NaN' },
      expected: { country: 'US', latitude: 40 },
    },
    {
      name: 'the platform',
      trusted: true,
      headers: germanHeaders,
      platform: { country: 'SG', latitude: '1.30', longitude: '103.8', asn: 4657 },
      expected: { country: 'SG', asn: 4657, source: 'platform' },
    },
    {
      name: 'a platform that does not know',
      trusted: false,
      headers: {},
      platform: { country: 'T1' },
      expected: { country: 'AU', source: 'mmdb' },
    },
  ])('believes $name as far as it should', ({ trusted, headers, platform, expected }) => {
    const slots = new GeoSlots()
    const database = new Mmdb(buildMmdb([{ cidr: '1.0.0.0/8', record: { country_code: 'AU' } }]))
    const locator = new GeoLocator(
      ['platform', 'headers', 'mmdb'],
      headerNames,
      new MmdbGeoSource(slots, [database]),
      slots,
    )
    const list = new HeaderList(Object.entries(headers).flat())
    const place = locator.locate(client(trusted), list, platform)
    expect(place).toMatchObject(expected)
    expect(locator.locate(client(trusted), list, platform)).toBe(place)
  })

  it('keeps a bounded number of places', () => {
    const places = new PlaceInterner(new GeoSlots(), 10)
    for (let asn = 1; asn < 1000; asn++) {
      const facts = { country: 'DE', latitude: 50, longitude: 8, radiusKm: 0, asn }
      expect(places.place(facts, 'header')?.asn).toBe(asn)
    }
  })
})

describe('countries', () => {
  it('has every ISO 3166-1 country once, with continent and a point', () => {
    expect(COUNTRIES.size).toBe(250)
    for (const country of COUNTRIES.values()) {
      expect(country.code).toMatch(/^[A-Z]{2}$/)
      expect(Math.abs(country.latitude), country.code).toBeLessThanOrEqual(90)
      expect(Math.abs(country.longitude), country.code).toBeLessThanOrEqual(180)
    }
  })

  it.each([
    ['DE', true],
    ['HR', true],
    ['CY', true],
    ['RE', true],
    ['AX', true],
    ['GB', false],
    ['CH', false],
    ['NO', false],
    ['IS', false],
    ['LI', false],
    ['GL', false],
    ['PF', false],
    ['XK', false],
  ])('%s is in the European Union: %s', (code, expected) => {
    expect(countryOf(code)?.isEuropeanUnion).toBe(expected)
  })

  it('counts 27 members and seven territories', () => {
    const inside = [...COUNTRIES.values()].filter((country) => country.isEuropeanUnion)
    expect(inside).toHaveLength(34)
  })
})

/**
 * What a database record says, whatever vendor's shape it has. The shape is found by looking at each
 * record: file names and `database_type` are free text.
 */
import type { MmdbValue, Projection } from './mmdb-decoder.ts'
import type { PlaceFacts } from './place.ts'

/** Everything that any of the shapes keeps a fact under. */
export const FACTS: Projection = {
  // MaxMind and DB-IP: maps in maps.
  country: { iso_code: true },
  location: { latitude: true, longitude: true, accuracy_radius: true },
  traits: { autonomous_system_number: true },
  autonomous_system_number: true,
  // ip-location-db and IPinfo: one flat map. IPinfo writes "country": "DE", which the projection of a
  // map leaves whole.
  country_code: true,
  latitude: true,
  longitude: true,
  lat: true,
  lng: true,
  asn: true,
}

const NOTHING: PlaceFacts = {
  country: null,
  latitude: Number.NaN,
  longitude: Number.NaN,
  radiusKm: 0,
  asn: null,
}

/**
 * Facts of one record. `registered_country` is not read: it says where the holder of a network is, not
 * where its users are, and residency is decided by the answer.
 */
export function readFacts(record: MmdbValue): PlaceFacts {
  const map = asMap(record)
  if (map === undefined) return NOTHING
  const location = asMap(map.location)
  const traits = asMap(map.traits)
  return {
    country: readCountry(map),
    latitude: firstNumber(location?.latitude, map.latitude, map.lat),
    longitude: firstNumber(location?.longitude, map.longitude, map.lng),
    radiusKm: firstNumber(location?.accuracy_radius) || 0,
    asn: readAsn(traits?.autonomous_system_number ?? map.autonomous_system_number ?? map.asn),
  }
}

function readCountry(map: { readonly [key: string]: MmdbValue }): string | null {
  const code = asMap(map.country)?.iso_code ?? map.country_code ?? map.country
  return typeof code === 'string' && code !== '' ? code.toUpperCase() : null
}

function asMap(value: MmdbValue | undefined): { readonly [key: string]: MmdbValue } | undefined {
  if (typeof value !== 'object' || value instanceof Uint8Array || Array.isArray(value))
    return undefined
  return value as { readonly [key: string]: MmdbValue } // the only object left after the checks
}

/** The first of the values that is a number, or a text that is one; NaN when none is. */
function firstNumber(...values: (MmdbValue | undefined)[]): number {
  for (const value of values) {
    if (typeof value === 'number') return value
    if (typeof value === 'string' && value !== '') return Number(value)
  }
  return Number.NaN
}

/** `3320` or `"AS3320"`. */
export function readAsn(value: unknown): number | null {
  const text = typeof value === 'string' && /^as/i.test(value) ? value.slice(2) : value
  const number = typeof text === 'string' && text !== '' ? Number(text) : text
  return typeof number === 'number' && Number.isInteger(number) && number > 0 && number < 2 ** 32
    ? number
    : null
}

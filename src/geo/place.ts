/**
 * Places: frozen `Geo` values, one object and one slot each, so that what is computed for a place is
 * computed once. Slots only ever grow, over every source and every swap of a database: a slot never
 * means two places.
 */
import type { Geo } from '../exchange.ts'
import { countryOf } from './countries.ts'

/** What a source knows about an address, as found: the code may be no country, numbers may be NaN. */
export interface PlaceFacts {
  readonly country: string | null
  /** Degrees; NaN when not stated. */
  readonly latitude: number
  readonly longitude: number
  /** Kilometres; 0 when not stated. */
  readonly radiusKm: number
  readonly asn: number | null
}

/**
 * Coordinates this uncertain (kilometres) are the middle of a country and not a place: MaxMind puts a US
 * address it knows nothing more about in Kansas, with 1000 km. The country's own point is better.
 */
const COUNTRY_ONLY_RADIUS_KM = 500

/** Hands out slots; 0 is "unknown" and never handed out. */
export class GeoSlots {
  #next = 1

  /** @returns a place that owns its slot, or undefined when the facts say neither country nor point */
  place(facts: PlaceFacts, source: Geo['source']): Geo | undefined {
    const country = facts.country === null ? undefined : countryOf(facts.country)
    let { latitude, longitude, radiusKm } = facts
    if (
      !isPoint(latitude, longitude) ||
      (radiusKm >= COUNTRY_ONLY_RADIUS_KM && country !== undefined)
    ) {
      latitude = country === undefined ? Number.NaN : country.latitude
      longitude = country === undefined ? Number.NaN : country.longitude
      radiusKm = 0
    }
    if (country === undefined && Number.isNaN(latitude) && facts.asn === null) return undefined
    return Object.freeze({
      slot: this.#next++,
      country: country === undefined ? null : country.code,
      continent: country === undefined ? null : country.continent,
      isEuropeanUnion: country?.isEuropeanUnion === true,
      latitude,
      longitude,
      radiusKm,
      asn: facts.asn,
      source,
    })
  }
}

/** A point on earth; exactly (0, 0) is how databases write "not known". */
function isPoint(latitude: number, longitude: number): boolean {
  return (
    Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 && !(latitude === 0 && longitude === 0)
  )
}

/**
 * Places told by a header or by the platform, request by request. Coordinates are rounded to half a
 * degree, which moves next to no choice of region and keeps the number of places small.
 */
export class PlaceInterner {
  readonly #slots: GeoSlots
  readonly #places = new Map<string, Geo | undefined>()
  readonly #limit: number

  constructor(slots: GeoSlots, limit = 65_536) {
    this.#slots = slots
    this.#limit = limit
  }

  place(facts: PlaceFacts, source: Geo['source']): Geo | undefined {
    const latitude = Math.round(facts.latitude * 2) / 2
    const longitude = Math.round(facts.longitude * 2) / 2
    const key = `${source} ${facts.country} ${latitude} ${longitude} ${facts.asn} ${facts.radiusKm}`
    const known = this.#places.get(key)
    if (known !== undefined || this.#places.has(key)) return known
    if (this.#places.size >= this.#limit) this.#places.clear()
    const made = this.#slots.place({ ...facts, latitude, longitude }, source)
    this.#places.set(key, made)
    return made
  }
}

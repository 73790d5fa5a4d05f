/**
 * Where a client is, by the first provider that knows: the platform's own answer (Cloudflare's
 * `request.cf` and the like), headers set by a proxy in front, a database.
 */
import { type Client, type Geo, type HeaderList, UNKNOWN_GEO } from '../exchange.ts'
import type { GeoSource } from '../ports.ts'
import { type GeoSlots, type PlaceFacts, PlaceInterner } from './place.ts'
import { readAsn } from './record.ts'

export type GeoProvider = 'platform' | 'headers' | 'mmdb'

/** Names of the headers in which the proxy in front tells the client's place; lower case. */
export interface GeoHeaders {
  readonly country?: string | undefined
  readonly latitude?: string | undefined
  readonly longitude?: string | undefined
  readonly asn?: string | undefined
}

/** What a platform says about a request, in the shape of Cloudflare's `request.cf`: texts, all optional. */
export interface PlatformPlace {
  readonly country?: unknown
  readonly latitude?: unknown
  readonly longitude?: unknown
  readonly asn?: unknown
}

export class GeoLocator {
  readonly #providers: readonly GeoProvider[]
  readonly #headers: GeoHeaders | undefined
  readonly #source: GeoSource
  readonly #places: PlaceInterner

  constructor(
    providers: readonly GeoProvider[],
    headers: GeoHeaders | undefined,
    source: GeoSource,
    slots: GeoSlots,
  ) {
    this.#providers = providers
    this.#headers = headers
    this.#source = source
    this.#places = new PlaceInterner(slots)
  }

  /** Whether a trusted proxy's header may decide, so that two requests of one address may differ. */
  get readsHeaders(): boolean {
    return this.#headers !== undefined && this.#providers.includes('headers')
  }

  /**
   * Never throws. Headers count only when the direct peer is a trusted proxy: anybody else could choose a
   * country by sending one.
   */
  locate(client: Client, headers: HeaderList, platform?: PlatformPlace): Geo {
    for (const provider of this.#providers) {
      let place: Geo | undefined
      if (provider === 'mmdb') place = this.#source.lookup(client.ip)
      else if (provider === 'headers') place = this.#fromHeaders(client, headers)
      else if (platform !== undefined)
        place = this.#places.place(platformFacts(platform), 'platform')
      if (place !== undefined && place.slot !== 0) return place
    }
    return UNKNOWN_GEO
  }

  #fromHeaders(client: Client, headers: HeaderList): Geo | undefined {
    const names = this.#headers
    if (names === undefined || !client.viaTrustedProxy) return undefined
    const country = names.country === undefined ? undefined : headers.get(names.country)
    const latitude = names.latitude === undefined ? undefined : headers.get(names.latitude)
    const longitude = names.longitude === undefined ? undefined : headers.get(names.longitude)
    const asn = names.asn === undefined ? undefined : headers.get(names.asn)
    if (country === undefined && latitude === undefined) return undefined
    return this.#places.place(facts(country, latitude, longitude, asn), 'header')
  }
}

function platformFacts(place: PlatformPlace): PlaceFacts {
  return facts(place.country, place.latitude, place.longitude, place.asn)
}

function facts(country: unknown, latitude: unknown, longitude: unknown, asn: unknown): PlaceFacts {
  return {
    // Codes that are no country, such as "T1" for Tor and "XX", become unknown in the country table.
    country: typeof country === 'string' && country.length === 2 ? country.toUpperCase() : null,
    latitude: degrees(latitude),
    longitude: degrees(longitude),
    radiusKm: 0,
    asn: readAsn(asn),
  }
}

function degrees(value: unknown): number {
  if (typeof value === 'number') return value
  return typeof value === 'string' && /^[+-]?\d{1,3}(\.\d{1,12})?$/.test(value)
    ? Number(value)
    : Number.NaN
}

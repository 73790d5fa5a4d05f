/** `meridian geo`: where the gateway believes addresses are. */
import type { Geo } from '../exchange.ts'
import { GeoSlots } from '../geo/place.ts'
import { MmdbGeoSource } from '../geo/source.ts'
import { parseIp } from '../http/ip.ts'
import { GeoFileError, openGeoFiles } from '../runtimes/node/geo-file.ts'
import {
  CommandError,
  columns,
  EXIT,
  type ExitCode,
  type Terminal,
  UsageError,
} from './terminal.ts'

/** Addresses a database is tried with before it is believed. */
const CANARIES = 1000

export interface GeoOptions {
  readonly database?: readonly string[] | undefined
  readonly json?: boolean | undefined
}

export async function geo(
  addresses: readonly string[],
  options: GeoOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const ips = addresses.map((text) => {
    const ip = parseIp(text)
    if (ip === undefined) throw new UsageError(`${JSON.stringify(text)} is not an IP address`)
    return ip
  })
  const source = await open(options.database ?? [])
  const places = ips.map((ip) => ({ ip: ip.text, geo: source.lookup(ip) }))
  if (options.json === true) {
    terminal.out(`${JSON.stringify(places.map(placeAsJson), null, 2)}\n`)
  } else {
    terminal.out(`${columns(places.map(({ ip, geo }) => [ip, ...placeAsRow(geo)]))}\n`)
  }
  return EXIT.ok
}

async function open(paths: readonly string[]): Promise<MmdbGeoSource> {
  try {
    const opened = await openGeoFiles({ paths, canaries: CANARIES, allowIpv4Only: true })
    return new MmdbGeoSource(new GeoSlots(), opened.databases)
  } catch (error) {
    if (!(error instanceof GeoFileError)) throw error
    throw new CommandError(error.message, undefined, { cause: error })
  }
}

function placeAsJson({ ip, geo }: { ip: string; geo: Geo }) {
  const isPlaced = !Number.isNaN(geo.latitude)
  return {
    ip,
    country: geo.country,
    name: nameOf(geo),
    continent: geo.continent,
    europeanUnion: geo.isEuropeanUnion,
    latitude: isPlaced ? geo.latitude : null,
    longitude: isPlaced ? geo.longitude : null,
    radiusKm: isPlaced ? geo.radiusKm : null,
    asn: geo.asn,
  }
}

function placeAsRow(geo: Geo): string[] {
  if (geo.slot === 0) return ['unknown']
  const row = [geo.country ?? '--', geo.continent ?? '--', geo.isEuropeanUnion ? 'EU' : '']
  const place = Number.isNaN(geo.latitude)
    ? ''
    : `${geo.latitude.toFixed(2)} ${geo.longitude.toFixed(2)}${geo.radiusKm > 0 ? ` ±${Math.round(geo.radiusKm)} km` : ''}`
  return [...row, place, nameOf(geo) ?? '']
}

const countryNames = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' })

function nameOf(geo: Geo): string | null {
  return geo.country === null ? null : (countryNames.of(geo.country) ?? null)
}

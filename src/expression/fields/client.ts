/** The client: its address, where it is, its TLS connection. */
import { toBytes } from '../bytes.ts'
import { alias, type Field, field, unfilled } from '../field.ts'
import type { Subject } from '../subject.ts'
import { BOOL, BYTES, INT, IP } from '../types.ts'

const GEO = { workers: 'request.cf, or the GeoIP database' } as const
const MMDB = 'GeoIP database'

function degrees(value: number): string {
  return Number.isNaN(value) ? '' : String(value)
}

const country = field(
  'ip.src.country',
  BYTES,
  MMDB,
  'ISO 3166-1 alpha-2 country code; "XX" when unknown.',
  (s) => s.exchange.geo.country ?? 'XX',
  GEO,
)
const continent = field(
  'ip.src.continent',
  BYTES,
  MMDB,
  'AF, AN, AS, EU, NA, OC or SA; empty when unknown.',
  (s) => s.exchange.geo.continent ?? '',
  GEO,
)
const asnum = field(
  'ip.src.asnum',
  INT,
  MMDB,
  'Number of the autonomous system; 0 when unknown.',
  (s) => s.exchange.geo.asn ?? 0,
  GEO,
)
const inUnion = field(
  'ip.src.is_in_european_union',
  BOOL,
  MMDB,
  'Whether the country is in the European Union.',
  (s) => s.exchange.geo.isEuropeanUnion,
  GEO,
)
const latitude = field(
  'ip.src.lat',
  BYTES,
  MMDB,
  'Latitude in degrees as text; empty when unknown.',
  (s) => degrees(s.exchange.geo.latitude),
  GEO,
)
const longitude = field(
  'ip.src.lon',
  BYTES,
  MMDB,
  'Longitude in degrees as text; empty when unknown.',
  (s) => degrees(s.exchange.geo.longitude),
  GEO,
)
const subdivision1 = unfilled(
  'ip.src.subdivision_1_iso_code',
  BYTES,
  'ISO 3166-2 code of the first-level region.',
)
const subdivision2 = unfilled(
  'ip.src.subdivision_2_iso_code',
  BYTES,
  'ISO 3166-2 code of the second-level region.',
)

function certificate(subject: Subject) {
  return subject.exchange.client.tls?.certificate
}

/** The port of the Host header, or the scheme's own. */
function serverPort(subject: Subject): number {
  const { authority, host, scheme } = subject.exchange
  const port =
    authority.length > host.length ? Number(authority.slice(host.length + 1)) : Number.NaN
  return Number.isInteger(port) && port > 0 ? port : scheme === 'https' ? 443 : 80
}

const TLS = { workers: 'not on Workers: empty' } as const

export const clientFields: readonly Field[] = [
  field(
    'ip.src',
    IP,
    'socket, or trusted forwarding headers',
    'Address of the client; missing when unknown.',
    (s) => s.exchange.client.ip,
    { workers: 'CF-Connecting-IP' },
  ),
  country,
  continent,
  asnum,
  inUnion,
  latitude,
  longitude,
  unfilled('ip.src.city', BYTES, 'City.'),
  unfilled('ip.src.region', BYTES, 'Name of the region.'),
  unfilled('ip.src.region_code', BYTES, 'Code of the region.'),
  unfilled('ip.src.postal_code', BYTES, 'Postal code.'),
  unfilled('ip.src.metro_code', BYTES, 'Metro code.'),
  unfilled('ip.src.timezone.name', BYTES, 'Name of the time zone.'),
  subdivision1,
  subdivision2,
  alias('ip.geoip.country', country),
  alias('ip.geoip.continent', continent),
  alias('ip.geoip.asnum', asnum),
  alias('ip.geoip.is_in_european_union', inUnion),
  alias('ip.geoip.subdivision_1_iso_code', subdivision1),
  alias('ip.geoip.subdivision_2_iso_code', subdivision2),
  alias('geo.country', country),
  alias('geo.continent', continent),
  alias('geo.asn', asnum),
  alias('geo.is_in_european_union', inUnion),
  alias('geo.lat', latitude),
  alias('geo.lon', longitude),
  field(
    'geo.source',
    BYTES,
    MMDB,
    'Where the location comes from: "platform", "header", "mmdb" or "none".',
    (s) => s.exchange.geo.source,
    GEO,
  ),
  field(
    'geo.radius_km',
    INT,
    MMDB,
    'How far off the coordinates may be, kilometres; 0 when not stated.',
    (s) => Math.round(s.exchange.geo.radiusKm),
    GEO,
  ),
  field(
    'cf.tls_version',
    BYTES,
    'TLS socket',
    'TLS version, such as "TLSv1.3"; empty without TLS.',
    (s) => s.exchange.client.tls?.version ?? '',
    { workers: 'request.cf' },
  ),
  field(
    'cf.tls_cipher',
    BYTES,
    'TLS socket',
    'TLS cipher suite; empty without TLS.',
    (s) => s.exchange.client.tls?.cipher ?? '',
    { workers: 'request.cf' },
  ),
  field(
    'cf.tls_client_auth.cert_presented',
    BOOL,
    'TLS socket',
    'Whether the client showed a certificate.',
    (s) => certificate(s) !== undefined,
    { workers: 'request.cf' },
  ),
  field(
    'cf.tls_client_auth.cert_verified',
    BOOL,
    'TLS socket',
    'Whether that certificate chains to a trusted authority.',
    (s) => certificate(s)?.verified ?? false,
    { workers: 'request.cf' },
  ),
  field(
    'cf.tls_client_auth.cert_subject_dn',
    BYTES,
    'TLS socket',
    'Distinguished name of the subject.',
    (s) => toBytes(certificate(s)?.subject ?? ''),
    { workers: 'request.cf' },
  ),
  field(
    'cf.tls_client_auth.cert_issuer_dn',
    BYTES,
    'TLS socket',
    'Distinguished name of the issuer.',
    (s) => toBytes(certificate(s)?.issuer ?? ''),
    { workers: 'request.cf' },
  ),
  field(
    'cf.tls_client_auth.cert_serial',
    BYTES,
    'TLS socket',
    'Serial number, hexadecimal.',
    (s) => certificate(s)?.serial ?? '',
    { workers: 'request.cf' },
  ),
  field(
    'cf.tls_client_auth.cert_fingerprint_sha256',
    BYTES,
    'TLS socket',
    'SHA-256 of the certificate, lower-case hexadecimal.',
    (s) => certificate(s)?.fingerprint256 ?? '',
    { workers: 'request.cf' },
  ),
  field(
    'cf.edge.server_port',
    INT,
    'Host or listener',
    'The port that the client asked for.',
    serverPort,
    { workers: 'request URL' },
  ),
  field(
    'cf.edge.client_port',
    INT,
    'socket',
    'Port of the client.',
    (s) => s.exchange.client.port,
    TLS,
  ),
  field('cf.edge.client_tcp', BOOL, 'constant', 'Always true: HTTP/3 is not spoken.', () => true, {
    workers: 'constant',
  }),
  field('cf.ray_id', BYTES, 'request id', 'Id of the request.', (s) => s.exchange.id),
]

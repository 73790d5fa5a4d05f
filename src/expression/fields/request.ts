/** The request line, its headers and its URI. */
import type { HeaderList } from '../../exchange.ts'
import { toBytes } from '../bytes.ts'
import { type Field, field, type HeaderAccess } from '../field.ts'
import { parseAcceptLanguage } from '../languages.ts'
import type { Subject } from '../subject.ts'
import { BOOL, BYTES, INT, STRING_MAP, STRINGS } from '../types.ts'

const LINE = 'request line'
const TARGET = 'canonical request target'
const RAW_TARGET = 'request target as received'

export function headerAccess(read: (subject: Subject) => HeaderList | undefined): HeaderAccess {
  return {
    all: (name) => (subject) => {
      const values = read(subject)?.all(name)
      return values === undefined || values.length === 0 ? undefined : values
    },
    one: (name, index) =>
      index === 0
        ? (subject) => read(subject)?.get(name)
        : (subject) => read(subject)?.all(name)[index],
    some: (name, test) => (subject) => {
      const headers = read(subject)
      if (headers === undefined) return false
      const names = headers.names()
      for (let i = 0; i < names.length; i++) {
        if (names[i] === name && test(headers.flat[2 * i + 1] as string)) return true
      }
      return false
    },
  }
}

function header(subject: Subject, name: string): string {
  return subject.exchange.headers.get(name) ?? ''
}

/** Lower-cased text after the last dot of the last segment, unless that dot begins the segment. */
export function extensionOf(path: string): string {
  const segment = path.slice(path.lastIndexOf('/') + 1)
  const dot = segment.lastIndexOf('.')
  return dot <= 0 ? '' : segment.slice(dot + 1).toLowerCase()
}

function rawPath(subject: Subject): string {
  const { raw } = subject.exchange.target
  const mark = raw.indexOf('?')
  return mark < 0 ? raw : raw.slice(0, mark)
}

function origin(subject: Subject): string {
  return `${subject.exchange.scheme}://${subject.exchange.authority}`
}

const VERSIONS = { '1.0': 'HTTP/1.0', '1.1': 'HTTP/1.1', '2': 'HTTP/2' } as const

export const requestFields: readonly Field[] = [
  field(
    'http.host',
    BYTES,
    'Host or :authority',
    'Host name, lower case, without the port.',
    (s) => s.exchange.host,
    { isLowerCase: true },
  ),
  field(
    'http.cookie',
    BYTES,
    'Cookie',
    'The whole Cookie header; several are joined by "; ".',
    (s) => s.exchange.headers.all('cookie').join('; '),
  ),
  field('http.referer', BYTES, 'Referer', 'The Referer header; empty when absent.', (s) =>
    header(s, 'referer'),
  ),
  field('http.user_agent', BYTES, 'User-Agent', 'The User-Agent header; empty when absent.', (s) =>
    header(s, 'user-agent'),
  ),
  field(
    'http.x_forwarded_for',
    BYTES,
    'X-Forwarded-For',
    'The whole X-Forwarded-For header as received; not to be trusted, use ip.src.',
    (s) => s.exchange.headers.joined('x-forwarded-for') ?? '',
  ),
  field('http.request.method', BYTES, LINE, 'Method, upper case.', (s) => s.exchange.method),
  field(
    'http.request.version',
    BYTES,
    LINE,
    '"HTTP/1.0", "HTTP/1.1" or "HTTP/2".',
    (s) => VERSIONS[s.exchange.httpVersion],
  ),
  field(
    'http.request.full_uri',
    BYTES,
    TARGET,
    'Scheme, host, port when one was given, path and query.',
    (s) => origin(s) + s.exchange.target.pathAndQuery,
  ),
  field(
    'http.request.uri',
    BYTES,
    TARGET,
    'Path and query.',
    (s) => s.exchange.target.pathAndQuery,
  ),
  field(
    'http.request.uri.path',
    BYTES,
    TARGET,
    'Path: dots resolved, unreserved characters decoded.',
    (s) => s.exchange.target.path,
  ),
  field(
    'http.request.uri.path.extension',
    BYTES,
    TARGET,
    'Lower-case file extension of the path, without the dot; empty when none.',
    (s) => extensionOf(s.exchange.target.path),
    { isLowerCase: true },
  ),
  field(
    'http.request.uri.query',
    BYTES,
    TARGET,
    'Query without "?"; empty when none.',
    (s) => s.exchange.target.query,
  ),
  field(
    'http.request.uri.args',
    STRING_MAP,
    TARGET,
    'Query arguments by name; names and values not decoded.',
    (s) => s.queryArgs().map,
  ),
  field(
    'http.request.uri.args.names',
    STRINGS,
    TARGET,
    'Names of the query arguments in order.',
    (s) => s.queryArgs().names,
  ),
  field(
    'http.request.uri.args.values',
    STRINGS,
    TARGET,
    'Values of the query arguments in order.',
    (s) => s.queryArgs().values,
  ),
  field(
    'raw.http.request.full_uri',
    BYTES,
    RAW_TARGET,
    'Scheme, host and target as received.',
    (s) => origin(s) + toBytes(s.exchange.target.raw),
  ),
  field('raw.http.request.uri', BYTES, RAW_TARGET, 'Path and query as received.', (s) =>
    toBytes(s.exchange.target.raw),
  ),
  field('raw.http.request.uri.path', BYTES, RAW_TARGET, 'Path as received.', (s) =>
    toBytes(rawPath(s)),
  ),
  field(
    'raw.http.request.uri.path.extension',
    BYTES,
    RAW_TARGET,
    'Lower-case file extension of the path as received.',
    (s) => extensionOf(toBytes(rawPath(s))),
  ),
  field('raw.http.request.uri.query', BYTES, RAW_TARGET, 'Query as received.', (s) =>
    toBytes(s.rawQueryText()),
  ),
  field(
    'raw.http.request.uri.args',
    STRING_MAP,
    RAW_TARGET,
    'Query arguments as received, by name.',
    (s) => s.rawQueryArgs().map,
  ),
  field(
    'raw.http.request.uri.args.names',
    STRINGS,
    RAW_TARGET,
    'Names of the query arguments as received.',
    (s) => s.rawQueryArgs().names,
  ),
  field(
    'raw.http.request.uri.args.values',
    STRINGS,
    RAW_TARGET,
    'Values of the query arguments as received.',
    (s) => s.rawQueryArgs().values,
  ),
  field(
    'http.request.headers',
    STRING_MAP,
    'header fields',
    'Header values by lower-case name, in wire order.',
    (s) => s.headers().map,
    {
      isLowerCase: true,
      access: headerAccess((s) => s.exchange.headers),
    },
  ),
  field(
    'http.request.headers.names',
    STRINGS,
    'header fields',
    'Header names in wire order and case.',
    (s) => s.wireHeaders().names,
  ),
  field(
    'http.request.headers.values',
    STRINGS,
    'header fields',
    'Header values in wire order.',
    (s) => s.wireHeaders().values,
  ),
  field(
    'http.request.headers.truncated',
    BOOL,
    'constant',
    'Always false: a request with too many headers is refused before rules run.',
    () => false,
  ),
  field(
    'http.request.cookies',
    STRING_MAP,
    'Cookie',
    'Cookie values by percent-decoded name; values not decoded.',
    (s) => s.cookies().map,
  ),
  field(
    'http.request.accepted_languages',
    STRINGS,
    'Accept-Language',
    'Language tags by descending weight, without "*".',
    (s) => parseAcceptLanguage(s.exchange.headers.joined('accept-language') ?? ''),
  ),
  field(
    'http.request.timestamp.sec',
    INT,
    'clock',
    'When the request arrived, seconds since 1970.',
    (s) => Math.floor((s.now ?? s.exchange.startedAt) / 1000),
  ),
  field(
    'http.request.timestamp.msec',
    INT,
    'clock',
    'Milliseconds within that second, 0 to 999.',
    (s) => Math.floor(s.now ?? s.exchange.startedAt) % 1000,
  ),
  field(
    'ssl',
    BOOL,
    'listener',
    'Whether the client used TLS.',
    (s) => s.exchange.scheme === 'https',
    { workers: 'request URL' },
  ),
]

export function namesOf(headers: HeaderList): string[] {
  return headers.flat.filter((_, i) => i % 2 === 0)
}

export function valuesOf(headers: HeaderList): string[] {
  return headers.flat.filter((_, i) => i % 2 === 1)
}

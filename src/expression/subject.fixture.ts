/** Requests for the tests of the rules language. */
import { Exchange, HeaderList, UNKNOWN_GEO } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import { createEnvironment, List, Subject } from './expression.ts'
import { splitPairs } from './pairs.ts'

export interface RequestParts {
  method?: string
  scheme?: 'http' | 'https'
  authority?: string
  target?: string
  headers?: string[]
  ip?: string | undefined
  body?: string
}

export function subjectOf(parts: RequestParts = {}): Subject {
  const target = parts.target ?? '/'
  const mark = target.indexOf('?')
  const authority = parts.authority ?? 'example.com'
  const exchange = new Exchange({
    id: '01JTEST0000000000000000000',
    startedAt: 1_700_000_000_123,
    method: parts.method ?? 'GET',
    scheme: parts.scheme ?? 'https',
    httpVersion: '2',
    authority,
    host: authority.replace(/:\d+$/, ''),
    target: {
      raw: target,
      path: mark < 0 ? target : target.slice(0, mark),
      query: mark < 0 ? '' : target.slice(mark + 1),
      pathAndQuery: target,
    },
    headers: new HeaderList(parts.headers ?? []),
    client: {
      ip: 'ip' in parts ? parseIp(parts.ip ?? '') : parseIp('203.0.113.7'),
      port: 51000,
      peer: undefined,
      viaTrustedProxy: false,
      tls: null,
    },
    body: null,
  })
  const subject = new Subject(exchange)
  const raw = parts.body
  if (raw !== undefined) {
    subject.body = {
      raw,
      size: raw.length,
      truncated: false,
      mime: '',
      form: splitPairs(raw),
      multipart: [],
    }
  }
  return subject
}

/** A form post from Germany with repeated arguments, repeated headers, cookies and a WAF score. */
export function fixtureA(): Subject {
  const subject = subjectOf({
    method: 'POST',
    authority: 'shop.example.com',
    target: '/Admin/login.php?user=alice&role=admin&role=editor&q=red%20shoes&empty=',
    headers: [
      'content-type',
      'application/x-www-form-urlencoded',
      'user-agent',
      'Mozilla/5.0 (X11; Linux x86_64) curl/8.5.0',
      'cookie',
      'session=abc123; theme=dark',
      'x-forwarded-for',
      '203.0.113.7',
      'accept',
      'text/html',
      'accept',
      'application/json',
    ],
    body: 'name=O%27Neil&comment=%3Cscript%3Ealert(1)%3C%2Fscript%3E&n=5&n=7',
  })
  subject.exchange.geo = {
    ...UNKNOWN_GEO,
    slot: 1,
    country: 'DE',
    continent: 'EU',
    isEuropeanUnion: true,
    asn: 64496,
    source: 'mmdb',
  }
  subject.scores = { total: 12, of: () => 12, classes: ['sqli'] }
  return subject
}

export const environmentA = createEnvironment({
  lists: new Map([
    ['office', new List('ip', ['203.0.113.0/28', '2001:db8::/32'])],
    ['bad_asn', new List('number', [64496, 64511])],
    ['words', new List('string', ['red', 'grün'])],
  ]),
})

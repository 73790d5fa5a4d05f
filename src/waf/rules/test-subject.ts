/** The requests that rules test themselves with, as the subject of an expression. */
import { Exchange, HeaderList, UNKNOWN_GEO } from '../../exchange.ts'
import { Subject } from '../../expression/expression.ts'
import { parseIp } from '../../http/ip.ts'
import { canonicalTarget } from '../../http/target.ts'
import { InspectedBody } from '../body/view.ts'
import { utf8ToBytes } from '../bytes.ts'
import type { RuleTest } from './rule-schema.ts'

function flat(headers: Readonly<Record<string, string | readonly string[]>>): string[] {
  const list: string[] = []
  for (const [name, values] of Object.entries(headers)) {
    for (const value of [values].flat()) list.push(name, utf8ToBytes(value))
  }
  return list
}

/** @returns a sentence when the test itself is not a request */
export function testSubject(test: RuleTest): Subject | string {
  const { request } = test
  const absolute = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(request.uri)
  const raw = utf8ToBytes(absolute === null ? request.uri : absolute[3] || '/')
  const target = canonicalTarget(raw)
  if (typeof target === 'string')
    return `the test's uri is refused before any rule sees it: ${target}`
  const authority = (absolute?.[2] ?? request.host).toLowerCase()
  const ip = parseIp(request.ip ?? '192.0.2.1')
  if (ip === undefined) return `"${request.ip}" is not an IP address`
  const headers = flat(request.headers)
  const body = request.body === undefined ? undefined : utf8ToBytes(request.body)
  if (!headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'host')) {
    headers.unshift('Host', authority)
  }
  const exchange = new Exchange({
    id: 'rule-test',
    startedAt: 0,
    method: request.method,
    scheme: absolute?.[1]?.toLowerCase() === 'http' ? 'http' : 'https',
    httpVersion: '1.1',
    authority,
    host: authority.replace(/:\d*$/, ''),
    target,
    headers: new HeaderList(headers),
    client: { ip, port: 0, peer: ip, viaTrustedProxy: false, tls: null },
    body: null,
  })
  exchange.geo = {
    ...UNKNOWN_GEO,
    country: request.country ?? null,
    asn: request.asn ?? null,
  }
  const subject = new Subject(exchange)
  if (body !== undefined) {
    const type = exchange.headers.get('content-type') ?? ''
    subject.body = new InspectedBody(body, false, body.length, type)
  }
  if (test.response !== undefined) {
    subject.response = {
      status: test.response.status,
      headers: new HeaderList(flat(test.response.headers)),
    }
  }
  return subject
}

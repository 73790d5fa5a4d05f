import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { CidrSet, parseCidr } from './cidr.ts'
import { clientAddress } from './client-address.ts'
import { loopOf, requestFields, responseFields, shieldEntry } from './hygiene.ts'
import { compareIp, parseIp } from './ip.ts'
import { requestIds } from './request-id.ts'

const direct = {
  peer: '192.0.2.7',
  viaTrustedProxy: false,
  scheme: 'https' as const,
  authority: 'a.test',
  requestId: 'r1',
  pseudonym: 'meridian',
  receivedVersion: '1.1' as const,
  isTraced: false,
}

function forwarded(fields: string[], who = direct): Record<string, string> {
  const flat = requestFields(new HeaderList(fields), who, 'a.test')
  const out: Record<string, string> = {}
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i]!.toLowerCase()
    out[name] = out[name] === undefined ? flat[i + 1]! : `${out[name]} | ${flat[i + 1]}`
  }
  return out
}

describe('fields for the origin', () => {
  it('leave out what belongs to the connection and what it names', () => {
    const out = forwarded([
      'Host',
      'a.test',
      'Connection',
      'keep-alive, X-A ,Authorization',
      'X-A',
      '1',
      'X-B',
      '2',
      'Authorization',
      'Bearer t',
      'TE',
      'trailers',
      'Upgrade',
      'h2c',
      'Proxy-Authorization',
      'x',
      'Expect',
      '100-continue',
    ])
    expect(out['x-b']).toBe('2')
    expect(out.authorization).toBe('Bearer t')
    for (const name of ['x-a', 'connection', 'te', 'upgrade', 'proxy-authorization', 'expect']) {
      expect(out).not.toHaveProperty(name)
    }
  })

  it('never carry what other software takes for a route, a proxy or an address', () => {
    const out = forwarded([
      'Host',
      'a.test',
      'Proxy',
      'http://evil',
      'X-Original-URL',
      '/admin',
      'X-Rewrite-URL',
      '/admin',
      'X_Forwarded_For',
      '1.1.1.1',
      'X-Forwarded-For',
      '1.1.1.1',
      'Forwarded',
      'for=1.1.1.1',
      'X-Forwarded-Host',
      'evil',
      'X-Real-IP',
      '1.1.1.1',
      'X-Request-Id',
      'mine',
    ])
    for (const name of [
      'proxy',
      'x-original-url',
      'x-rewrite-url',
      'x_forwarded_for',
      'forwarded',
      'x-real-ip',
    ]) {
      expect(out).not.toHaveProperty(name)
    }
    expect(out).toMatchObject({
      host: 'a.test',
      'x-forwarded-for': '192.0.2.7',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'a.test',
      'x-request-id': 'r1',
      via: '1.1 meridian',
      'cdn-loop': 'meridian',
    })
  })

  it('go on with the chain of a trusted proxy', () => {
    const out = forwarded(
      [
        'Host',
        'a.test',
        'X-Forwarded-For',
        '203.0.113.9',
        'X-Forwarded-Proto',
        'https',
        'Via',
        '1.1 lb',
        'CDN-Loop',
        'other',
      ],
      { ...direct, viaTrustedProxy: true, scheme: 'http' as 'https' },
    )
    expect(out).toMatchObject({
      'x-forwarded-for': '203.0.113.9, 192.0.2.7',
      'x-forwarded-proto': 'https',
      via: '1.1 lb | 1.1 meridian',
      'cdn-loop': 'other | meridian',
    })
  })
})

it('fields for the client leave out the origin’s connection', () => {
  expect(
    responseFields([
      'Connection',
      'close, X-Hop',
      'X-Hop',
      '1',
      'Content-Length',
      '3',
      'Transfer-Encoding',
      'chunked',
      'ETag',
      '"a"',
    ]),
  ).toEqual(['content-length', '3', 'etag', '"a"'])
})

it('a loop is a request that names this gateway, or names too many', () => {
  const list = (value: string) => new HeaderList(['CDN-Loop', value])
  const told = (headers: HeaderList) => loopOf(headers, 'meridian', 'a1')
  expect(told(list('other; v=1, Meridian ;x'))).toBe('loop')
  expect(told(list('meridian-two'))).toBe('none')
  expect(told(list(new Array(21).fill('x').join(',')))).toBe('loop')
  expect(told(new HeaderList([]))).toBe('none')
  // One gateway may ask another as its shield: not itself, and not a third time round.
  expect(told(list(`other, ${shieldEntry('meridian', 'b2')}`))).toBe('shielded')
  expect(told(list(shieldEntry('meridian', 'a1')))).toBe('loop')
  expect(told(list('meridian;shield=b2, meridian'))).toBe('loop')
  expect(told(list('meridian;shield=b2, meridian;shield=c3'))).toBe('loop')
})

describe('the client’s address', () => {
  const trusted = CidrSet.of(['10.0.0.0/8', '2001:db8:f::/48'])
  it.each([
    ['192.0.2.1', ['X-Forwarded-For', '203.0.113.9'], '192.0.2.1'],
    ['10.0.0.1', [], '10.0.0.1'],
    ['10.0.0.1', ['X-Forwarded-For', '203.0.113.9'], '203.0.113.9'],
    ['10.0.0.1', ['X-Forwarded-For', '1.1.1.1, 203.0.113.9, 10.2.2.2'], '203.0.113.9'],
    [
      '10.0.0.1',
      ['X-Forwarded-For', '1.1.1.1', 'x-forwarded-for', '203.0.113.9:4711'],
      '203.0.113.9',
    ],
    ['10.0.0.1', ['X-Forwarded-For', '203.0.113.9, garbage'], '10.0.0.1'],
    ['10.0.0.1', ['X-Forwarded-For', '10.3.3.3, 10.2.2.2'], '10.3.3.3'],
    ['10.0.0.1', ['Forwarded', 'for=1.1.1.1, For="[2001:db8::9]:80";proto=https'], '2001:db8::9'],
    ['2001:db8:f::1', ['X-Forwarded-For', '::ffff:203.0.113.9'], '203.0.113.9'],
  ])('peer %s with %j is %s', (peer, fields, expected) => {
    const address = clientAddress(
      parseIp(peer as string),
      new HeaderList(fields as string[]),
      trusted,
    )
    expect(address.ip?.text).toBe(expected)
  })
})

describe('addresses', () => {
  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::', '::'],
    ['1::', '1::'],
    ['0:0:1::', '0:0:1::'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['::ffff:8.8.8.8', '8.8.8.8'],
    ['::ffff:808:808', '8.8.8.8'],
    ['64:ff9b::8.8.8.8', '8.8.8.8'],
    ['2002:808:808::1', '8.8.8.8'],
  ])('%s is %s', (text, canonical) => {
    expect(parseIp(text)?.text).toBe(canonical)
  })
  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    ' 1.2.3.4',
    '1.2.3.4, 5.6.7.8',
    '1.2.3.4:80',
    '1..2.3',
    '0x7f.1.1.1',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    'fe80::1%eth0',
    '12345::',
    'g::',
    '::1.2.3',
    '1.2.3.4::',
  ])('%j is none', (text) => {
    expect(parseIp(text)).toBeUndefined()
  })
  it('sets answer by range, whatever the order and overlap of their blocks', () => {
    const set = CidrSet.of([
      '10.1.0.0/16',
      '10.0.0.0/8',
      '192.0.2.1',
      '2001:db8::/32',
      '255.255.255.255',
    ])
    expect(set.size).toBe(4)
    for (const text of [
      '10.255.255.255',
      '10.0.0.0',
      '192.0.2.1',
      '2001:db8:ffff::1',
      '255.255.255.255',
    ]) {
      expect(set.contains(parseIp(text))).toBe(true)
    }
    for (const text of ['11.0.0.0', '9.255.255.255', '192.0.2.2', '2001:db9::', '::']) {
      expect(set.contains(parseIp(text))).toBe(false)
    }
    expect(parseCidr('10.0.0.1/8')).toBeUndefined()
    expect(parseCidr('10.0.0.0/33')).toBeUndefined()
    expect(compareIp(parseIp('9.0.0.0')!, parseIp('10.0.0.0')!)).toBeLessThan(0)
  })
})

it('request ids sort by time and never repeat', () => {
  const next = requestIds(new Uint8Array([1, 2, 3, 4, 5]))
  const ids = Array.from({ length: 70_000 }, (_, i) =>
    next(1_700_000_000_000 + Math.floor(i / 1000)),
  )
  expect(new Set(ids).size).toBe(ids.length)
  expect([...ids].sort()).toEqual(ids)
  expect(ids[0]).toMatch(/^[0-9a-hjkmnp-tv-z]{26}$/)
})

describe('the trace of a client', () => {
  const fields = ['Host', 'a.test', 'Traceparent', '00-a', 'Tracestate', 'a=1']

  it.each([
    { name: 'a trusted proxy', viaTrustedProxy: true, isTraced: false, passes: true },
    { name: 'a trusted proxy, with a span here', viaTrustedProxy: true, isTraced: true },
    { name: 'anybody', viaTrustedProxy: false, isTraced: false },
    { name: 'anybody, with a span here', viaTrustedProxy: false, isTraced: true },
  ])('of $name', ({ viaTrustedProxy, isTraced, passes = false }) => {
    const out = forwarded(fields, { ...direct, viaTrustedProxy, isTraced })
    expect(out.traceparent).toBe(passes ? '00-a' : undefined)
    expect(out.tracestate).toBe(passes ? 'a=1' : undefined)
  })
})

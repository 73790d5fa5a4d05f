import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { combinedLine, jsonLine, quoted, timestamp } from './access-log.ts'
import { exchangeOf, SERVED, telemetryConfig } from './exchange.fixture.ts'
import { lineFormat } from './log-format.ts'
import { Mask } from './mask.ts'
import { emptyRecord, type RequestRecord, writeRecord } from './record.ts'

const mask = new Mask(telemetryConfig().mask, new Uint8Array(16))

function recordOf(...args: Parameters<typeof exchangeOf>): RequestRecord {
  const record = emptyRecord()
  writeRecord(exchangeOf(...args), SERVED, mask, record)
  return record
}

function fullRecord(): RequestRecord {
  return recordOf(
    {
      query: 'q=1&token=s3cret',
      headers: new HeaderList([
        'User-Agent',
        'a "quoted" agent',
        'Referer',
        'https://u:p@elsewhere.example/?code=s3cret',
      ]),
      client: {
        ip: undefined,
        port: 0,
        peer: undefined,
        viaTrustedProxy: false,
        tls: { version: 'TLSv1.3' },
      },
    },
    {
      route: { id: 'shop', index: 0 },
      attempts: [
        { region: 'a', pool: 'p', origin: 'a1', outcome: 'reset', status: null, durationMs: 5 },
        { region: 'b', pool: 'p', origin: 'b1', outcome: 'ok', status: 200, durationMs: 5 },
      ],
      cacheStatus: { outcome: 'miss', reason: 'uri-miss', header: '' },
      verdicts: [
        {
          rule: 'r1',
          ruleset: 's',
          action: 'log',
          enforced: false,
          phase: 'request',
          description: 'd',
        },
      ],
      principal: { kind: 'jwt', subject: 'alice', issuer: null, scopes: [], claims: {} },
      aborted: true,
    },
  )
}

describe('the JSON line', () => {
  it('says of each request what is its own, whichever came before it', () => {
    const values = [
      { method: 'GET', host: 'a.example', status: 200, client: '192.0.2.0', country: 'DE', asn: 1 },
      { method: 'GET', host: 'a.example', status: 404, client: '192.0.2.0', country: 'FR', asn: 2 },
      { method: 'PUT', host: 'b"c.example', status: 404, client: '', country: '', asn: 0 },
      { route: 'shop', region: 'eu', pool: 'p', origin: 'o1', userAgent: 'one' },
      { route: 'shop', region: 'eu', pool: 'p', origin: 'o2', userAgent: 'two "2"' },
      { route: 'shop', region: 'eu', cache: 'hit', cacheReason: 'fresh', scheme: 'https' },
      { route: 'shop', region: '', cache: 'hit', cacheReason: 'stale', outcome: 'blocked' },
    ]
    const records = values.map((own) => ({ ...emptyRecord(), id: '01J', ...own }))
    const parsed = (record: RequestRecord) => JSON.parse(jsonLine(record))
    const alone = records.map((record) => {
      const { time, method, host, status, client, country, asn, scheme, outcome } = record
      const { route, region, pool, origin, cache, cacheReason, userAgent } = record
      return {
        time: timestamp(time),
        id: '01J',
        ...{ method, scheme, host, path: '', protocol: '', status, outcome },
        ...{ duration_ms: 0, bytes_in: 0, bytes_out: 0 },
        ...(client !== '' && { client }),
        ...(country !== '' && { country }),
        ...(asn !== 0 && { asn }),
        ...(route !== '' && { route }),
        ...(region !== '' && { region }),
        ...(origin !== '' && { pool, origin, attempts: 0 }),
        ...(cache !== '' && { cache, cache_reason: cacheReason }),
        ...(userAgent !== '' && { user_agent: userAgent }),
      }
    })
    for (let before = 0; before < records.length; before++) {
      for (let i = 0; i < records.length; i++) {
        parsed(records[before] as RequestRecord)
        // Twice, since the parts are put together at the first and copied at the second.
        expect(parsed(records[i] as RequestRecord)).toEqual(alone[i])
        expect(parsed(records[i] as RequestRecord)).toEqual(alone[i])
      }
    }
  })

  it('holds every fact of the request', () => {
    const record = fullRecord()
    expect(JSON.parse(jsonLine(record, 10))).toEqual({
      time: '2026-11-24T06:53:31.042Z',
      id: '01J0000000000000000000',
      method: 'GET',
      scheme: 'https',
      host: 'shop.example',
      path: '/shop/cart',
      query: 'q=1&token=***',
      protocol: 'HTTP/1.1',
      status: 200,
      outcome: 'served',
      duration_ms: 12.346,
      bytes_in: 0,
      bytes_out: 1024,
      route: 'shop',
      region: 'b',
      pool: 'p',
      origin: 'b1',
      attempts: 2,
      cache: 'miss',
      cache_reason: 'uri-miss',
      rules: ['r1'],
      blocked: false,
      principal: 'jwt',
      subject: mask.subject('alice'),
      tls: 'TLSv1.3',
      user_agent: 'a "quoted" agent',
      referer: 'https://elsewhere.example/?code=***',
      aborted: true,
      weight: 10,
    })
  })

  it('leaves out what does not apply', () => {
    const line = JSON.parse(jsonLine(recordOf({ headers: new HeaderList([]) })))
    expect(Object.keys(line).slice(-3)).toEqual(['bytes_in', 'bytes_out', 'client'])
    expect(line.client).toBe('203.0.113.0')
  })

  it('quotes any text so that JSON gives it back, in one line of harmless characters', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 0xffff })), (codes) => {
        const text = String.fromCharCode(...codes)
        expect(JSON.parse(quoted(text)) === text).toBe(true)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
        expect(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(quoted(text))).toBe(false)
      }),
    )
    expect(quoted('\ud800')).toBe('"\\ud800"')
  })

  it('writes any point in time as Date does', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), (time) => {
        expect(timestamp(time)).toBe(new Date(time).toISOString())
      }),
    )
  })
})

describe('the Combined line', () => {
  it('looks like that of other servers', () => {
    expect(combinedLine(recordOf({ query: 'a=1' }))).toBe(
      '203.0.113.0 - - [24/Nov/2026:06:53:31 +0000] "GET /shop/cart?a=1 HTTP/1.1" 200 1024 "-" "probe/1.0"',
    )
  })

  it('cannot be broken out of', () => {
    const headers = new HeaderList(['user-agent', 'x" 200 1\r\n\\é'])
    expect(combinedLine(recordOf({ headers }))).toContain('"x\\" 200 1\\x0d\\x0a\\\\\\xe9"')
  })
})

describe('other shapes of a line', () => {
  const lineWith = (access: object) => lineFormat(telemetryConfig({ access }).access)
  const every = [
    ...Object.keys(JSON.parse(jsonLine(fullRecord(), 10))),
    ...Object.keys(JSON.parse(jsonLine(recordOf({})))),
  ]

  it('all fields by name make the line that has all of them', () => {
    const withTargets = fullRecord()
    withTargets.verdicts = withTargets.verdicts.map((verdict) => ({ ...verdict, target: 'ARGS:q' }))
    for (const record of [fullRecord(), withTargets, recordOf({}), recordOf({ query: 'a=1' })]) {
      const line = lineWith({ fields: [...new Set([...every, 'asn', 'rule_targets'])] })
      expect(JSON.parse(line(record, 1))).toEqual(JSON.parse(jsonLine(record)))
      expect(JSON.parse(line(record, 10))).toEqual(JSON.parse(jsonLine(record, 10)))
    }
  })

  it('chosen fields stand in their order, under the names that were given', () => {
    const line = lineWith({ fields: ['status', { name: 'id', as: '"request" id' }, 'asn', 'path'] })
    expect(line(recordOf({}), 1)).toBe(
      '{"status":200,"\\"request\\" id":"01J0000000000000000000","path":"/shop/cart"}',
    )
  })

  it('logpush has the names that tools for Cloudflare know', () => {
    expect(JSON.parse(lineWith({ format: 'logpush' })(fullRecord(), 10))).toEqual({
      RayID: '01J0000000000000000000',
      EdgeStartTimestamp: '2026-11-24T06:53:31.042Z',
      EdgeEndTimestamp: '2026-11-24T06:53:31.054Z',
      ClientRequestMethod: 'GET',
      ClientRequestScheme: 'https',
      ClientRequestHost: 'shop.example',
      ClientRequestPath: '/shop/cart',
      ClientRequestURI: '/shop/cart?q=1&token=***',
      ClientRequestProtocol: 'HTTP/1.1',
      ClientRequestUserAgent: 'a "quoted" agent',
      ClientRequestReferer: 'https://elsewhere.example/?code=***',
      ClientRequestBytes: 0,
      ClientSSLProtocol: 'TLSv1.3',
      EdgeResponseStatus: 200,
      EdgeResponseBytes: 1024,
      OriginResponseStatus: 200,
      CacheCacheStatus: 'miss',
      SecurityAction: 'log',
      SecurityRuleID: 'r1',
      SecurityRuleIDs: ['r1'],
      SampleInterval: 10,
    })
    expect(JSON.parse(lineWith({ format: 'logpush' })(recordOf({}), 1))).toMatchObject({
      ClientIP: '203.0.113.0',
      ClientSSLProtocol: 'none',
      CacheCacheStatus: 'none',
      OriginResponseStatus: 0,
      SampleInterval: 1,
    })
  })
})

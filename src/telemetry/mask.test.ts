import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cost } from '../../test/harness/cpu-time.ts'
import type { Client } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import { telemetryConfig } from './exchange.fixture.ts'
import { MASKED, Mask } from './mask.ts'
import { sipHash, sipKey } from './siphash.ts'

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i)

function maskOf(input: unknown = {}): Mask {
  return new Mask(telemetryConfig({ mask: input }).mask, KEY)
}

describe('addresses', () => {
  it.each([
    { ip: '203.0.113.77', bits: {}, shown: '203.0.113.0' },
    { ip: '203.0.113.77', bits: { ipv4Bits: 32 }, shown: '203.0.113.77' },
    { ip: '203.0.113.77', bits: { ipv4Bits: 0 }, shown: '0.0.0.0' },
    { ip: '203.0.113.77', bits: { ipv4Bits: 20 }, shown: '203.0.112.0' },
    { ip: '2001:db8:1:2:3:4:5:6', bits: {}, shown: '2001:db8:1::' },
    { ip: '2001:db8:ffff:ffff::1', bits: { ipv6Bits: 33 }, shown: '2001:db8:8000::' },
    { ip: '2001:db8::1', bits: { ipv6Bits: 128 }, shown: '2001:db8::1' },
    { ip: '::ffff:203.0.113.77', bits: {}, shown: '203.0.113.0' },
  ])('$ip with $bits is shown as $shown', ({ ip, bits, shown }) => {
    expect(maskOf(bits).ip(parseIp(ip))).toBe(shown)
  })

  it('is kept with a client, and made anew by a mask with other settings', () => {
    const ip = parseIp('203.0.113.77')
    const client: Client = { ip, port: 1, peer: ip, viaTrustedProxy: false, tls: null }
    const mask = maskOf()
    for (let i = 0; i < 2; i++) expect(mask.client(client)).toBe('203.0.113.0')
    expect(maskOf({ ipv4Bits: 32 }).client(client)).toBe('203.0.113.77')
    expect(mask.client(client)).toBe('203.0.113.0')
    expect(mask.client({ ...client, ip: undefined, shown: undefined })).toBe('')
  })

  it('is empty where there is no address', () => {
    expect(maskOf().ip(undefined)).toBe('')
  })
})

describe('queries', () => {
  it.each([
    { query: '', shown: '' },
    { query: 'page=2&sort=name', shown: 'page=2&sort=name' },
    { query: 'token=s3cret', shown: 'token=***' },
    { query: 'a=1&access_token=s3cret&b=2', shown: 'a=1&access_token=***&b=2' },
    { query: 'X-Amz-Signature=s3cret&X-Amz-Date=1', shown: 'X-Amz-Signature=***&X-Amz-Date=1' },
    { query: 'user[password]=s3cret', shown: 'user[password]=***' },
    { query: 'user%5Bpassword%5D=s3cret', shown: 'user%5Bpassword%5D=***' },
    { query: 'pass%77ord=s3cret', shown: 'pass%77ord=***' },
    { query: 'token=&token', shown: 'token=&token' },
    { query: 'q=a=b&code=s3cret=', shown: 'q=a=b&code=***' },
    { query: 'next=eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.c2ln', shown: 'next=***' },
    { query: '&&=x&%=y&%zz=1', shown: '&&=x&%=y&%zz=1' },
  ])('$query is shown as $shown', ({ query, shown }) => {
    expect(maskOf().query(query)).toBe(shown)
  })

  it('hides further keys that the config names, however they are spelt', () => {
    expect(maskOf({ queryKeys: ['Loyalty-Card'] }).query('loyaltyCard=1&loyalty_card=2')).toBe(
      'loyaltyCard=***&loyalty_card=***',
    )
  })

  it('never shows the value of a credential key, whatever stands around it', () => {
    const other = fc.string({ unit: fc.constantFrom('a', '=', '&', '%', '+', '[', '.', 'é') })
    fc.assert(
      fc.property(
        other,
        other,
        fc.constantFrom('token', 'PASSWORD', 'api_key', 'sig'),
        (a, b, key) => {
          expect(maskOf().query(`${a}&${key}=QZQZ&${b}`)).not.toContain('QZQZ')
        },
      ),
    )
  })

  it.each([
    ['keys without values', 'a&'.repeat(20_000)],
    ['beginnings of tokens', 'eyJ'.repeat(20_000)],
    ['tokens without an end', 'eyJabcdef.'.repeat(6_000)],
  ])('takes linear time over %s', (_, query) => {
    const mask = maskOf()
    expect(cost(() => mask.query(query))).toBeLessThan(100)
  })
})

describe('headers, URLs, matches, subjects', () => {
  it.each([
    ['authorization', 'Bearer s3cret', 'Bearer ***'],
    ['authorization', 's3cret', MASKED],
    ['cookie', 'sid=s3cret', MASKED],
    ['x-api-key', 's3cret', MASKED],
    ['accept', 'text/html', 'text/html'],
    ['x-forwarded-for', '203.0.113.77, 2001:db8:1:2::3', '203.0.113.0, 2001:db8:1::'],
    ['x-forwarded-for', 'unknown, 10.0.0.1', '***, 10.0.0.0'],
    ['forwarded', 'for=203.0.113.77;proto=https', MASKED],
    ['referer', 'https://u:s3cret@a.test/?token=s3cret', 'https://a.test/?token=***'],
    ['x-other', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.', MASKED],
  ])('%s: %s is shown as %s', (name, value, shown) => {
    expect(maskOf().header(name, value)).toBe(shown)
  })

  it.each([
    [
      'https://u:s3cret@host.example/a?token=s3cret&b=1#s3cret',
      'https://host.example/a?token=***&b=1',
    ],
    ['https://host.example/@home', 'https://host.example/@home'],
    ['/relative', '/relative'],
  ])('the URL %s is shown as %s', (url, shown) => {
    expect(maskOf().url(url)).toBe(shown)
  })

  it.each([
    ['http.request.headers["authorization"]', 'Bearer s3', MASKED],
    ['ARGS:password', "' or 1=1", MASKED],
    ['http.request.uri.query', 'password=s3cret&x=<script>', 'password=***&x=<script>'],
    ['http.request.uri.path', '/etc/passwd', '/etc/passwd'],
    [undefined, '<script>', '<script>'],
  ])('a match in %s (%s) is shown as %s', (target, match, shown) => {
    expect(maskOf().match(target, match)).toBe(shown)
  })

  it('hashes a subject with its key, masks it, or leaves it', () => {
    const other = new Mask(telemetryConfig().mask, new Uint8Array(16))
    expect(maskOf().subject('alice')).toMatch(/^[0-9a-f]{16}$/)
    expect(maskOf().subject('alice')).toBe(maskOf().subject('alice'))
    expect(maskOf().subject('alice')).not.toBe(other.subject('alice'))
    expect(maskOf({ subject: 'mask' }).subject('alice')).toBe('al***')
    expect(maskOf({ subject: 'plain' }).subject('alice')).toBe('alice')
  })
})

describe('SipHash-2-4', () => {
  it('gives the value worked out in the paper’s appendix', () => {
    expect(
      sipHash(
        KEY,
        Uint8Array.from({ length: 15 }, (_, i) => i),
      ),
    ).toBe('a129ca6149be45e5')
  })

  it('takes every length up to three words, and different keys for different secrets', () => {
    const hashes = new Set(Array.from({ length: 25 }, (_, n) => sipHash(KEY, new Uint8Array(n))))
    expect(hashes.size).toBe(25)
    expect(sipKey(Uint8Array.of(1))).not.toEqual(sipKey(Uint8Array.of(2)))
  })
})

import { describe, expect, it } from 'vitest'
import { solved, unsolved } from '../../../test/harness/solve.ts'
import { HeaderList } from '../../exchange.ts'
import { parseIp } from '../../http/ip.ts'
import { Challenge, type Visitor } from './challenge.ts'
import { takeClearance } from './clearance-cookie.ts'

const key = (fill: number) => new Uint8Array(32).fill(fill)
const options = { keys: [key(1)], difficulty: 8, ttlSeconds: 1800, isDrawn: false }
const challenge = new Challenge(options)
const from = (ip: string, more: Partial<Visitor> = {}): Visitor => ({
  host: 'shop.example',
  ip: parseIp(ip),
  userAgent: 'Browser/1',
  ...more,
})
const visitor = from('192.0.2.7')
const NOW = 1_800_000_000_000

describe('a ticket', () => {
  it.each<{ name: string; as?: Visitor; after?: number; by?: Challenge; fault?: string }>([
    { name: 'holds' },
    { name: 'holds in the same /24', as: from('192.0.2.200') },
    { name: 'holds to its last second', after: 299_000 },
    { name: 'expires', after: 300_000, fault: 'expired' },
    { name: 'of a clock too far ahead does not hold', after: -61_000, fault: 'expired' },
    { name: 'is of no use to another network', as: from('192.0.3.7'), fault: 'address' },
    {
      name: 'is of no use to a client without an address',
      as: { ...visitor, ip: undefined },
      fault: 'address',
    },
    {
      name: 'is of no use to another browser',
      as: from('192.0.2.7', { userAgent: 'Bot' }),
      fault: 'agent',
    },
    {
      name: 'is of no use on another host',
      as: from('192.0.2.7', { host: 'other' }),
      fault: 'signature',
    },
    {
      name: 'of another secret does not hold',
      by: new Challenge({ ...options, keys: [key(2)] }),
      fault: 'signature',
    },
    {
      name: 'of the secret before still holds',
      by: new Challenge({ ...options, keys: [key(2), key(1)] }),
    },
  ])('$name', async ({ as = visitor, after = 0, by = challenge, fault }) => {
    const answer = await solved({ ticket: challenge.issue(visitor, NOW), difficulty: 8 })
    expect(by.answerFault(answer, as, NOW + after)).toBe(fault)
    const clearance = challenge.clear(visitor, NOW)
    const ttl = after > 0 ? after * 6 : after
    expect(by.clearanceFault(clearance, as, NOW + ttl)).toBe(fault)
  })

  it('covers IPv6 clients by /64', () => {
    const clearance = challenge.clear(from('2001:db8:0:1::7'), NOW)
    expect(challenge.clearanceFault(clearance, from('2001:db8:0:1:ffff::1'), NOW)).toBeUndefined()
    expect(challenge.clearanceFault(clearance, from('2001:db8:0:2::7'), NOW)).toBe('address')
  })

  it('cannot be changed in any character, shortened, lengthened, or used as the other kind', async () => {
    const ticket = challenge.issue(visitor, NOW)
    const answer = await solved({ ticket, difficulty: 8 })
    for (let i = 0; i < ticket.length; i++) {
      const other = answer[i] === '1' ? '2' : '1'
      const changed = answer.slice(0, i) + other + answer.slice(i + 1)
      expect([i, challenge.answerFault(changed, visitor, NOW)]).not.toEqual([i, undefined])
    }
    const [clearance, wrong] = [
      challenge.clear(visitor, NOW),
      await unsolved({ ticket, difficulty: 8 }),
    ]
    expect(challenge.answerFault(wrong, visitor, NOW)).toBe('unsolved')
    for (const text of [
      '',
      '.',
      ticket,
      `${ticket}.`,
      `${ticket}.-1`,
      `${clearance}.1`,
      `${answer}.1`,
      `${ticket}.${'1'.repeat(99)}`,
    ]) {
      expect([text, challenge.answerFault(text, visitor, NOW)]).toEqual([text, 'malformed'])
    }
    for (const text of [
      '',
      ticket,
      `${clearance} `,
      `c${ticket.slice(1)}`,
      clearance.slice(0, -1),
    ]) {
      expect(challenge.clearanceFault(text, visitor, NOW)).toMatch(/malformed|signature/)
    }
  })
})

describe('the cookie', () => {
  it.each([
    { fields: ['cookie', 'a=1; b=2'], taken: undefined },
    {
      fields: ['cookie', 'a=1; meridian-clearance=T; b=2'],
      rest: ['cookie', 'a=1; b=2'],
      http: 'T',
    },
    { fields: ['Cookie', '__Host-meridian-clearance=S', 'x', '1'], rest: ['x', '1'], https: 'S' },
    {
      fields: [
        'cookie',
        'a=1',
        'x',
        '1',
        'cookie',
        'meridian-clearance=T;__Host-meridian-clearance=S',
      ],
      rest: ['cookie', 'a=1', 'x', '1'],
      http: 'T',
      https: 'S',
    },
    {
      fields: ['cookie', 'a=meridian-clearance; meridian-clearance2=x'],
      rest: ['cookie', 'a=meridian-clearance; meridian-clearance2=x'],
    },
  ])('is taken out of $fields', ({ fields, rest, http, https }) => {
    const plain = takeClearance(new HeaderList(fields), 'http')
    const secure = takeClearance(new HeaderList(fields), 'https')
    expect([plain?.headers.flat, secure?.headers.flat]).toEqual([rest, rest])
    expect([plain?.clearance, secure?.clearance]).toEqual([http, https])
  })
})

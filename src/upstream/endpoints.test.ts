import { describe, expect, it } from 'vitest'
import {
  type EndpointRules,
  endpointsOf,
  MOST_ADDRESSES,
  serviceEndpoints,
  serviceHost,
} from './endpoints.ts'

const v4 = (...addresses: string[]) => addresses.map((address) => ({ address, family: 4 as const }))
const v6 = (...addresses: string[]) => addresses.map((address) => ({ address, family: 6 as const }))
const AUTO: EndpointRules = { perAddress: true, family: 'auto' }

/** Each server's id with the addresses that connections are confined to; `*`: none in particular. */
const of = (found: Parameters<typeof endpointsOf>[1], rules: EndpointRules = AUTO) =>
  endpointsOf('p/o', found, rules).map(
    ({ id, addresses }) => `${id} ${addresses?.map((each) => each.address).join() ?? '*'}`,
  )

describe('the servers behind a name', () => {
  it.each<[string, Parameters<typeof endpointsOf>[1], Partial<EndpointRules>, string[]]>([
    ['nothing known', undefined, {}, ['p/o *']],
    ['one address', v4('10.0.0.1'), {}, ['p/o *']],
    ['one of either family', [...v6('fd00::1'), ...v4('10.0.0.1')], {}, ['p/o *']],
    [
      'two, in an order of their own, once each',
      v4('10.0.0.2', '10.0.0.1', '10.0.0.2'),
      {},
      ['p/o@10.0.0.1 10.0.0.1', 'p/o@10.0.0.2 10.0.0.2'],
    ],
    [
      'two of either family: those of the first',
      [...v6('fd00::2', 'fd00::1'), ...v4('10.0.0.1', '10.0.0.2')],
      {},
      ['p/o@fd00::1 fd00::1', 'p/o@fd00::2 fd00::2'],
    ],
    [
      'all of both when asked for',
      [...v6('fd00::1'), ...v4('10.0.0.1')],
      { family: 'any' },
      ['p/o@10.0.0.1 10.0.0.1', 'p/o@fd00::1 fd00::1'],
    ],
    [
      'one family when asked for',
      [...v6('fd00::1'), ...v4('10.0.0.1')],
      { family: 'ipv4' },
      ['p/o 10.0.0.1'],
    ],
    ['none of the family asked for', v4('10.0.0.1'), { family: 'ipv6' }, ['p/o ']],
    ['together when asked for', v4('10.0.0.1', '10.0.0.2'), { perAddress: false }, ['p/o *']],
  ])('%s', (_what, found, rules, expected) => {
    expect(of(found, { ...AUTO, ...rules })).toEqual(expected)
  })

  it('of a service have their ports and weights', () => {
    const at = (address: string, port: number, weight: number) => ({
      ...v4(address)[0]!,
      port,
      weight,
    })
    const servers = (...found: ReturnType<typeof at>[]) =>
      serviceEndpoints('p/o', found, AUTO).map(({ id, port, share }) => [id, port, share])
    expect(serviceEndpoints('p/o', undefined, AUTO)).toMatchObject([{ id: 'p/o', addresses: [] }])
    expect(servers(at('10.0.0.1', 80, 0))).toEqual([['p/o', 80, 1]])
    expect(servers(at('10.0.0.1', 81, 5), at('10.0.0.1', 80, 20))).toEqual([
      ['p/o@10.0.0.1:80', 80, 1],
      ['p/o@10.0.0.1:81', 81, 0.25],
    ])
    expect(
      servers(at('10.0.0.1', 80, 0), at('10.0.0.2', 80, 0)).map(([, , share]) => share),
    ).toEqual([1, 1])
    expect(['_http._tcp.a.test', 'a.test', '_x.a'].map(serviceHost)).toEqual([
      'a.test',
      undefined,
      undefined,
    ])
  })

  it('are no more than anybody has', () => {
    const many = v4(...Array.from({ length: 200 }, (_, i) => `10.0.${i}.1`))
    expect(of(many)).toHaveLength(MOST_ADDRESSES)
  })
})

/** Server-Timing: what it says, and to whom. */
import { describe, expect, it } from 'vitest'
import { type Simulated, simulated } from '../harness/simulated.ts'

type Timing = Record<string, unknown>

const gatewayWith = (serverTiming: Timing | undefined): Promise<Simulated> =>
  simulated(
    {
      regions: [{ id: 'eu', latitude: 50, longitude: 8, pools: ['app'] }],
      routes: [{ id: 'site', cache: {} }],
      telemetry: {
        debugHeaders: { allowFrom: ['192.0.2.0/24'] },
        ...(serverTiming === undefined ? {} : { serverTiming }),
      },
    } as never,
    () => ({ after: 40, headers: ['cache-control', 'max-age=60', 'server-timing', 'db;dur=7'] }),
  )

const ALL = ['total', 'gateway', 'cache', 'origin', 'region']

describe('Server-Timing', () => {
  it('tells where the time went, beside what the origin said', async () => {
    const gateway = await gatewayWith({ phases: ALL, to: 'everyone' })
    const miss = await gateway.ask('/a')
    expect(miss.headers.all('server-timing')).toEqual([
      'db;dur=7',
      'total;dur=40, gateway;dur=0, cache;desc="miss", origin;dur=40, region;desc="eu"',
    ])
    const hit = await gateway.ask('/a')
    expect(hit.headers.all('server-timing').at(-1)).toBe(
      'total;dur=0, gateway;dur=0, cache;desc="hit"',
    )
    const none = await gateway.ask('/nowhere', { host: 'other.test' })
    expect(none.headers.all('server-timing').at(-1)).toMatch(/^total;dur=/)
  })

  it.each([
    { to: undefined, ip: '198.51.100.1', headers: [], isShown: false },
    { to: 'everyone', ip: '198.51.100.1', headers: [], isShown: true },
    { to: ['198.51.100.0/24'], ip: '198.51.100.1', headers: [], isShown: true },
    { to: ['198.51.100.0/24'], ip: '203.0.113.1', headers: [], isShown: false },
    { to: 'debug', ip: '192.0.2.1', headers: ['meridian-debug', '1'], isShown: true },
    { to: 'debug', ip: '192.0.2.1', headers: [], isShown: false },
    { to: 'debug', ip: '198.51.100.1', headers: ['meridian-debug', '1'], isShown: false },
  ])('for $to, $ip with $headers: $isShown', async ({ to, ip, headers, isShown }) => {
    const gateway = await gatewayWith(to === undefined ? undefined : { phases: ['total'], to })
    const answer = await gateway.ask('/a', { ip, headers })
    const own = answer.headers.all('server-timing').filter((value) => value.startsWith('total'))
    expect(own).toHaveLength(isShown ? 1 : 0)
  })
})

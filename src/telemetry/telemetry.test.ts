import { describe, expect, it } from 'vitest'
import type { Verdict } from '../exchange.ts'
import { HeaderList } from '../exchange.ts'
import { exchangeOf, SERVED, telemetryConfig } from './exchange.fixture.ts'
import { exposition } from './exposition.ts'
import { Telemetry } from './telemetry.ts'

function world(input: unknown = {}, draws: number[] = []) {
  const lines: string[] = []
  const telemetry = new Telemetry(
    telemetryConfig(input),
    {},
    {
      clock: { now: () => 1000, monotonic: () => 0, after: () => () => {} },
      random: { next: () => draws.shift() ?? 0.5, bytes: (n) => new Uint8Array(n).fill(7) },
      access: { line: (text) => lines.push(text) },
      build: { version: '1.2.3', runtime: 'test' },
    },
  )
  return { telemetry, lines, text: () => exposition(telemetry.metrics.snapshot()) }
}

function attempt(region: string, outcome: string) {
  return { region, pool: 'p', origin: `${region}-1`, outcome, status: null, durationMs: 20 }
}

const BLOCK: Verdict = {
  rule: 'sqli-1',
  ruleset: 'basic',
  action: 'block',
  enforced: true,
  phase: 'request',
  description: 'SQL injection',
  target: 'ARGS:password',
  match: 's3cret',
}

describe('one record feeds all', () => {
  it('counts, logs and keeps an event of a blocked request', () => {
    const { telemetry, lines, text } = world()
    const record = telemetry.settle(
      exchangeOf(
        { method: 'BREW', query: 'password=s3cret' },
        { outcome: 'blocked', verdicts: [BLOCK], route: { id: 'shop', index: 0 } },
      ),
      { ...SERVED, status: 403 },
    )
    expect(record.wasBlocked).toBe(true)
    expect(JSON.parse(lines[0]!)).toMatchObject({
      outcome: 'blocked',
      rules: ['sqli-1'],
      blocked: true,
    })
    expect(text()).toContain(
      'meridian_http_requests_total{route="shop",method="_OTHER",status_class="4xx",cache="none",region="none"} 1\n',
    )
    expect(text()).toContain('meridian_http_problems_total{problem="blocked"} 1\n')
    expect(text()).toContain('meridian_waf_matches_total{rule="sqli-1",action="block"} 1\n')
    expect(telemetry.events.since(0)).toMatchObject([
      { kind: 'security', what: 'blocked', detail: { match: '***', client: '203.0.113.0' } },
    ])
  })

  it('shows a failover in the attempts, the counters and the events', () => {
    const { telemetry, text } = world()
    telemetry.settle(
      exchangeOf({}, { attempts: [attempt('eu', 'connect'), attempt('us', 'ok')] }),
      SERVED,
    )
    expect(text()).toContain('meridian_upstream_failovers_total{from="eu",to="us"} 1\n')
    expect(text()).toContain('{region="eu",pool="p",outcome="connect"} 1\n')
    expect(text()).toContain(
      'meridian_upstream_attempt_duration_seconds_bucket{region="us",le="0.025"} 1\n',
    )
    expect(telemetry.events.since(0)).toMatchObject([
      { kind: 'steering', what: 'failover', detail: { from: 'eu', to: 'us', because: 'connect' } },
    ])
  })

  it('keeps its counts and hashes over a reload, and takes the new settings', () => {
    const { telemetry, lines, text } = world()
    telemetry.settle(exchangeOf(), SERVED)
    telemetry.configure(telemetryConfig({ access: { enabled: false } }), {})
    telemetry.settle(exchangeOf(), SERVED)
    expect(lines).toHaveLength(1)
    expect(text()).toMatch(/meridian_http_requests_total\{.*\} 2\n/)
  })
})

describe('sampling', () => {
  it('thins out served requests with their weight, and nothing else', () => {
    const { telemetry, lines, text } = world({ access: { sample: 0.25 } }, [0.9, 0.1])
    telemetry.settle(exchangeOf(), SERVED)
    telemetry.settle(exchangeOf(), SERVED)
    telemetry.settle(exchangeOf({}, { outcome: 'rate-limited' }), { ...SERVED, status: 429 })
    telemetry.settle(exchangeOf(), { ...SERVED, status: 500 })
    telemetry.settle(exchangeOf({}, { verdicts: [BLOCK] }), SERVED)
    expect(lines.map((line) => JSON.parse(line).weight ?? 1)).toEqual([4, 1, 1, 1])
    expect(text()).toContain('meridian_access_log_sampled_out_total 1\n')
  })
})

describe('masking', () => {
  it('lets no credential and no full address reach any sink', () => {
    const secrets = ['s3cret', '203.0.113.77', 'alice@example.org']
    for (const format of ['json', 'combined', 'logpush']) {
      const { telemetry, lines, text } = world({ access: { format } })
      telemetry.settle(
        exchangeOf(
          {
            query: 'password=s3cret&sig=s3cret',
            headers: new HeaderList([
              'authorization',
              'Bearer s3cret',
              'cookie',
              'sid=s3cret',
              'referer',
              'https://a:s3cret@b.example/?token=s3cret#s3cret',
            ]),
          },
          {
            outcome: 'blocked',
            verdicts: [BLOCK, { ...BLOCK, target: 'http.request.headers["cookie"]' }],
            principal: {
              kind: 'jwt',
              subject: 'alice@example.org',
              issuer: null,
              scopes: [],
              claims: {},
            },
            attempts: [attempt('eu', 'connect'), attempt('us', 'ok')],
          },
        ),
        { ...SERVED, status: 403 },
      )
      const everything = [...lines, text(), JSON.stringify(telemetry.events.since(0))].join('\n')
      expect(everything).toContain('203.0.113.0')
      for (const secret of secrets) expect(everything).not.toContain(secret)
    }
  })
})

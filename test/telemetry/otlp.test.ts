/** Traces, logs and metrics over real sockets: what a collector gets, and what an origin is told. */
import { describe, expect, it } from 'vitest'
import { WebGateway } from '../../src/runtimes/web/instance.ts'
import { serve } from '../../src/runtimes/web/serve.ts'
import { ask } from '../harness/client.ts'
import { Collector } from '../harness/collector.ts'
import { refusingUrl } from '../harness/origin.ts'
import { until } from '../harness/wait.ts'
import { pool, type TestConfig, type World, world } from '../harness/world.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'

async function collectorOf(w: World): Promise<Collector> {
  const collector = await Collector.start()
  w.onClose(() => collector.close())
  return collector
}

describe('what is exported', () => {
  it('is a span of the request, and one of each attempt whose id the origin got', async () => {
    const w = world()
    const collector = await collectorOf(w)
    const origin = await w.origin((_request, response) => response.end('hello'))
    const down = await refusingUrl()
    const gateway = await w.gateway({
      trustedProxies: ['127.0.0.1'],
      pools: { down: pool([{ url: down }]), app: pool([origin]) },
      regions: [
        { id: 'eu', pools: ['down'], latitude: 50, longitude: 8 },
        { id: 'us', pools: ['app'], latitude: 39, longitude: -77 },
      ],
      steering: { policy: 'failover', order: ['eu', 'us'] },
      routes: [{ id: 'shop', match: { path: '/' } }],
      telemetry: {
        otlp: {
          endpoint: `${collector.url}/`,
          headers: { 'X-Tenant': 'a', authorization: { file: w.put('key', 'Bearer key-1\n') } },
          interval: '100ms',
          resource: { 'service.name': 'edge', 'deployment.environment.name': 'test' },
        },
      },
    } as TestConfig)
    const answer = await ask(`${gateway.url}/cart?item=7&token=hidden`, {
      headers: {
        traceparent: `00-${TRACE}-${PARENT}-01`,
        tracestate: 'vendor=1',
        'x-forwarded-for': '91.10.12.34',
        'user-agent': 'probe/1.0',
      },
    })
    expect(answer.status).toBe(200)
    await until('three spans', () => collector.spans.length >= 3)
    expect(collector.faults).toEqual([])
    const [server, first, second] = collector.spans
    expect(server).toMatchObject({
      traceId: TRACE,
      parentSpanId: PARENT,
      traceState: 'vendor=1',
      flags: 1,
      kind: 2,
      name: 'GET shop',
      attributes: {
        'http.request.method': 'GET',
        'url.path': '/cart',
        'url.query': 'item=7&token=***',
        'http.response.status_code': 200,
        'http.route': 'shop',
        'client.address': '91.10.12.0',
        'user_agent.original': 'probe/1.0',
        'network.protocol.version': '1.1',
        'meridian.request_id': answer.get('x-request-id'),
        'meridian.region': 'us',
        'meridian.attempts': 2,
      },
    })
    expect(server?.status).toBeUndefined()
    expect(first).toMatchObject({
      traceId: TRACE,
      parentSpanId: server?.spanId,
      kind: 3,
      name: 'GET',
      status: { code: 2 },
      attributes: {
        'error.type': 'connect',
        'meridian.region': 'eu',
        'server.address': '127.0.0.1',
      },
    })
    expect(second).toMatchObject({
      parentSpanId: server?.spanId,
      attributes: {
        'http.response.status_code': 200,
        'http.request.resend_count': 1,
        'server.port': origin.port,
      },
    })
    const [hit] = origin.hits
    expect(hit?.headers.traceparent).toBe(`00-${TRACE}-${second?.spanId}-01`)
    expect(hit?.headers.tracestate).toBe('vendor=1')
    for (const span of [first, second]) {
      expect(BigInt(span!.startTimeUnixNano)).toBeGreaterThanOrEqual(
        BigInt(server!.startTimeUnixNano) - 2_000_000n,
      )
      expect(BigInt(span!.endTimeUnixNano)).toBeLessThanOrEqual(
        BigInt(server!.endTimeUnixNano) + 2_000_000n,
      )
    }
    expect((await gateway.records(1))[0]).toMatchObject({ trace_id: TRACE })
    await until('log records', () => collector.logs.length >= 2)
    expect(collector.logs.find(({ eventName }) => eventName === 'meridian.request')).toMatchObject({
      traceId: TRACE,
      spanId: server?.spanId,
      severityText: 'INFO',
      body: { stringValue: 'GET /cart 200 served' },
    })
    expect(collector.logs.map(({ eventName }) => eventName)).toContain('meridian.steering.failover')
    await until('metrics', () => collector.sum('meridian_http_requests_total') === 1)
    expect(collector.metrics.get('meridian_http_request_duration_seconds')?.unit).toBe('s')
    expect(collector.resources[0]).toMatchObject({
      'service.name': 'edge',
      'deployment.environment.name': 'test',
    })
    expect(collector.headers[0]).toMatchObject({
      'x-tenant': 'a',
      authorization: 'Bearer key-1',
      'content-encoding': 'gzip',
    })
    await until(
      'counters',
      async () => (await gateway.metric('meridian_otlp_sent_total', { signal: 'traces' })) === 3,
    )
    expect(await gateway.metric('meridian_otlp_dropped_total')).toBe(0)
  })

  it('leaves out what the head did not sample, but no error; a stranger has no say in it', async () => {
    const w = world()
    const collector = await collectorOf(w)
    const origin = await w.origin((request, response) => {
      response.writeHead(request.url === '/broken' ? 500 : 200).end()
    })
    const gateway = await w.gateway({
      pools: { app: pool([origin]) },
      routes: [{ id: 'site', match: { path: ['/ok', '/broken'] }, pools: ['app'] }],
      telemetry: {
        access: { sample: 0 },
        trace: { sampling: 0 },
        otlp: { endpoint: collector.url, signals: ['traces', 'logs'], compression: 'none' },
      },
    })
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'vendor=1' }
    for (let i = 0; i < 20; i++) await ask(`${gateway.url}/ok`, { headers })
    await ask(`${gateway.url}/broken`, { headers })
    await ask(`${gateway.url}/nowhere`, { headers })
    for (const hit of origin.hits) {
      expect(hit.headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
      expect(hit.headers.traceparent).not.toContain(TRACE)
      expect(hit.headers.tracestate).toBeUndefined()
    }
    await until('the errors', () => collector.spans.filter(({ kind }) => kind === 2).length >= 2)
    await until('their log records', () => collector.logs.length >= 2)
    await until('both', () =>
      /500.*404/s.test(collector.texts.filter((one) => one.includes('resourceLogs')).join()),
    )
    const servers = collector.spans.filter(({ kind }) => kind === 2)
    expect(servers.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([
      500, 404,
    ])
    expect(servers.map(({ flags }) => flags)).toEqual([0, 0])
    expect(servers[0]).toMatchObject({ status: { code: 2 }, attributes: { 'error.type': '500' } })
    const requests = collector.logs.filter(({ eventName }) => eventName === 'meridian.request')
    expect(requests.map(({ severityText }) => severityText)).toEqual(['ERROR', 'WARN'])
    expect(collector.faults).toEqual([])
  })

  it('goes to another collector after a reload, and what waits is sent at the end', async () => {
    const w = world()
    const [one, other] = [await collectorOf(w), await collectorOf(w)]
    const config = (collector: Collector): TestConfig => ({
      routes: [{ id: 'r', respond: { body: 'ok' } }],
      telemetry: { otlp: { endpoint: collector.url } },
    })
    const gateway = await w.gateway(config(one))
    await ask(gateway.url)
    gateway.write(config(other))
    await until(
      'the reload',
      async () => (await gateway.metric('meridian_config_reloads_total')) === 1,
    )
    await until('the first span', () => one.spans.length === 1)
    await ask(gateway.url)
    await gateway.running.close()
    expect(other.spans).toHaveLength(1)
    expect(other.sum('meridian_http_requests_total')).toBe(2)
    expect(other.sum('meridian_otlp_sent_total', { signal: 'traces' })).toBe(2)
    expect([...one.faults, ...other.faults]).toEqual([])
  })

  it('never holds a request up: a collector that hangs or is gone costs telemetry only', async () => {
    const w = world()
    const collector = await collectorOf(w)
    collector.refuse = () => 'hang'
    const gateway = await w.gateway({
      routes: [{ id: 'r', respond: { body: 'ok' } }],
      telemetry: { otlp: { endpoint: collector.url, queue: 50, timeout: '200ms' } },
    })
    for (let i = 0; i < 200; i++) expect((await ask(gateway.url)).status).toBe(200)
    expect(
      await gateway.metric('meridian_otlp_dropped_total', { signal: 'traces', reason: 'full' }),
    ).toBe(150)
    expect(await gateway.metric('meridian_otlp_waiting', { signal: 'traces' })).toBe(50)
    await until('a warning', () =>
      gateway.log.some(({ level, message }) => level === 'warn' && /traces/.test(message)),
    )
    collector.refuse = () => undefined
    await until('what waited', () => collector.spans.length === 50)
  })

  it('leaves a runtime without a background behind the answer, without the metrics', async () => {
    const w = world()
    const collector = await collectorOf(w)
    const kept: Promise<unknown>[] = []
    const warnings: string[] = []
    const web = await WebGateway.create({
      config: JSON.stringify({
        routes: [{ id: 'r', respond: { body: 'ok' } }],
        waf: { mode: 'off' },
        telemetry: {
          otlp: {
            endpoint: collector.url,
            headers: { authorization: { env: 'KEY' } },
            interval: '100ms',
          },
        },
      }),
      env: { KEY: 'Bearer k' },
      keepAlive: (work) => kept.push(work),
      capabilities: { platform: 'here', addresses: true, files: false, background: false },
      log: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} },
    })
    for (let i = 0; i < 3; i++) {
      expect((await serve(web.gateway, new Request('http://a.test/'), {})).status).toBe(200)
    }
    expect(kept).toHaveLength(2)
    await Promise.all(kept)
    expect(collector.spans).toHaveLength(3)
    expect(collector.logs).toHaveLength(3)
    expect(collector.metrics.size).toBe(0)
    expect(collector.headers[0]).toMatchObject({ authorization: 'Bearer k' })
    expect(warnings).toEqual([expect.stringContaining('metrics are not sent from here')])
  })
})

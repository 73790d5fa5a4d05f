/** The pages about telemetry say what the code does. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ADMIN_ROUTES } from '../../src/admin/app.ts'
import { HeaderList } from '../../src/exchange.ts'
import { COLUMN_NAMES } from '../../src/runtimes/node/analytics/row.ts'
import { jsonLine } from '../../src/telemetry/access-log.ts'
import { CATALOGUE } from '../../src/telemetry/catalogue.ts'
import { debugHeaders } from '../../src/telemetry/debug-headers.ts'
import { exchangeOf, telemetryConfig } from '../../src/telemetry/exchange.fixture.ts'
import { exposition } from '../../src/telemetry/exposition.ts'
import { GatewayMetrics } from '../../src/telemetry/gateway-metrics.ts'
import { Mask } from '../../src/telemetry/mask.ts'
import type { MetricDefinition } from '../../src/telemetry/metrics.ts'
import { emptyRecord, writeRecord } from '../../src/telemetry/record.ts'

const page = (name: string) =>
  readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8').split('\n')

/** Cells of the table whose header row begins like this. */
function table(lines: string[], header: string): string[][] {
  const start = lines.findIndex((line) => line.startsWith(header))
  const rows: string[][] = []
  for (let i = start + 2; lines[i]?.startsWith('|'); i++) {
    rows.push(lines[i]!.slice(2, -2).split(' | '))
  }
  return rows
}

function names(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1]!)
}

const everything = exchangeOf(
  {
    query: 'a=1',
    headers: new HeaderList(['user-agent', 'a', 'referer', 'b']),
    client: {
      ip: { family: 4, words: [0x01020304], text: '1.2.3.4' },
      port: 0,
      peer: undefined,
      viaTrustedProxy: false,
      tls: { version: 'TLSv1.3' },
    },
  },
  {
    route: { id: 'r', index: 0 },
    decision: { region: 'eu', order: ['eu', 'us'], policy: 'proximity', reason: 'cheapest' },
    attempts: [{ region: 'eu', pool: 'p', origin: 'o', outcome: 'ok', status: 200, durationMs: 1 }],
    cacheStatus: { outcome: 'miss', reason: 'uri-miss', header: '' },
    verdicts: [
      {
        rule: 'r1',
        ruleset: 's',
        action: 'log',
        enforced: false,
        phase: 'request',
        description: '',
        target: 'ARGS:q',
      },
      {
        rule: 'r2',
        ruleset: 's',
        action: 'challenge',
        enforced: false,
        phase: 'request',
        description: '',
        isCleared: true,
      },
    ],
    principal: { kind: 'jwt', subject: 's', issuer: null, scopes: [], claims: {} },
    aborted: true,
  },
)
everything.trace = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  parentId: '',
  spanId: '00f067aa0ba902b7',
  isSampled: true,
  state: '',
}
everything.geo = { ...everything.geo, country: 'DE', asn: 64496 }

const record = emptyRecord()
writeRecord(
  everything,
  { status: 200, bytesIn: 1, bytesOut: 1, durationMs: 1 },
  new Mask(telemetryConfig().mask, new Uint8Array(16)),
  record,
)

describe('docs/metrics.md', () => {
  it('lists every metric with its type, labels and meaning, in order', () => {
    const documented = table(page('metrics.md'), '| name | type |').map(
      ([name, type, labels, help]) => ({ name: names(name)[0], type, labels: names(labels), help }),
    )
    const defined = Object.values(CATALOGUE).map((one: MetricDefinition) => ({
      name: one.name,
      type:
        one.merge === undefined || one.merge === 'sum' ? one.type : `${one.type} (${one.merge})`,
      labels: [...one.labels],
      help: one.help,
    }))
    expect(documented).toEqual(defined)
  })

  it('names no metric in its queries that is not there', () => {
    const known = new Set(Object.values(CATALOGUE).map((one) => one.name))
    for (const [name] of page('metrics.md')
      .join('\n')
      .matchAll(/meridian_[a-z_]+/g)) {
      expect(known).toContain(name.replace(/_bucket$/, ''))
    }
  })

  it('is complete: every metric of the catalogue is registered', () => {
    const metrics = new GatewayMetrics(2000, { version: '0', runtime: 'test' }, () => ({
      cpuSeconds: 0,
      residentBytes: 0,
      heapUsedBytes: 0,
      startedAt: 0,
      loopDelaySeconds: 0,
      loadRatio: 0,
      openConnections: 0,
    }))
    const registered = metrics.snapshot().map((family) => family.definition.name)
    expect(new Set(registered)).toEqual(new Set(Object.values(CATALOGUE).map((one) => one.name)))
    expect(registered).toHaveLength(new Set(registered).size)
    metrics.observe(record)
    expect(exposition(metrics.snapshot())).toContain('meridian_http_requests_total{route="r",')
  })
})

describe('docs/telemetry.md', () => {
  it('describes every field of a log line, in order', () => {
    const documented = table(page('telemetry.md'), '| field |').flatMap(([cell]) => names(cell))
    const written = Object.keys(JSON.parse(jsonLine(record, 10)))
    expect(new Set(documented)).toEqual(new Set(written))
    expect(documented).toHaveLength(written.length)
  })

  it('describes fields that all have a column in analytics', () => {
    const written = Object.keys(JSON.parse(jsonLine(record, 10))).filter((key) => key !== 'weight')
    expect(COLUMN_NAMES).toEqual(expect.arrayContaining(written))
    expect(COLUMN_NAMES).toHaveLength(written.length + 1)
  })

  it('shows lines that only have such fields', () => {
    const written = JSON.parse(jsonLine(record, 10))
    const shown = page('telemetry.md').find((line) => line.startsWith('{"time"'))
    for (const [key, value] of Object.entries(JSON.parse(shown ?? ''))) {
      expect(typeof value).toBe(typeof written[key])
    }
  })

  it('names every debug header', () => {
    const text = page('telemetry.md').join('\n')
    const flat = debugHeaders(everything)
    for (let i = 0; i < flat.length; i += 2) expect(text).toContain(`\`${flat[i]}\``)
  })
})

describe('docs/admin-api.md', () => {
  it('lists every route of the control port with who may use it, in order', () => {
    const documented = table(page('admin-api.md'), '| route |').map(([route, may]) => [
      names(route)[0],
      may,
    ])
    const served = ADMIN_ROUTES.map(({ method, path, level }) => [
      `${method.toUpperCase()} ${path}`,
      level,
    ])
    expect(documented).toEqual(served)
  })
})

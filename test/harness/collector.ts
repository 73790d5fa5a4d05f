/** An OpenTelemetry collector for tests: takes OTLP/HTTP in JSON, and refuses what is not in its form. */
import http, { type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import * as v from 'valibot'

const uint64 = v.pipe(v.string(), v.regex(/^[0-9]{1,20}$/))
const nanos = v.pipe(v.string(), v.regex(/^1[0-9]{18}$/))
const traceId = v.pipe(v.string(), v.regex(/^(?!0{32})[0-9a-f]{32}$/))
const spanId = v.pipe(v.string(), v.regex(/^(?!0{16})[0-9a-f]{16}$/))
const scalar = v.union([
  v.strictObject({ stringValue: v.string() }),
  v.strictObject({ intValue: v.pipe(v.string(), v.regex(/^-?[0-9]{1,19}$/)) }),
  v.strictObject({ doubleValue: v.union([v.number(), v.picklist(['NaN', 'Infinity'])]) }),
  v.strictObject({ boolValue: v.boolean() }),
])
const anyValue = v.union([
  scalar,
  v.strictObject({ arrayValue: v.strictObject({ values: v.array(scalar) }) }),
])
const attributes = v.pipe(
  v.array(v.strictObject({ key: v.pipe(v.string(), v.minLength(1)), value: anyValue })),
  v.check((list) => new Set(list.map(({ key }) => key)).size === list.length, 'a key comes twice'),
)
const flags = v.picklist([0, 1])
const status = v.strictObject({ code: v.picklist([0, 1, 2]) })

const Span = v.strictObject({
  traceId,
  spanId,
  traceState: v.optional(v.string()),
  parentSpanId: v.optional(spanId),
  flags,
  name: v.pipe(v.string(), v.minLength(1)),
  kind: v.picklist([2, 3]),
  startTimeUnixNano: nanos,
  endTimeUnixNano: nanos,
  attributes,
  status: v.optional(status),
})
const LogRecord = v.strictObject({
  timeUnixNano: nanos,
  observedTimeUnixNano: nanos,
  severityNumber: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(24)),
  severityText: v.string(),
  eventName: v.string(),
  body: anyValue,
  attributes,
  traceId: v.optional(traceId),
  spanId: v.optional(spanId),
  flags: v.optional(flags),
})
const NumberPoint = v.strictObject({
  attributes,
  startTimeUnixNano: v.optional(nanos),
  timeUnixNano: nanos,
  asDouble: v.number(),
})
const HistogramPoint = v.pipe(
  v.strictObject({
    attributes,
    startTimeUnixNano: nanos,
    timeUnixNano: nanos,
    count: uint64,
    sum: v.number(),
    bucketCounts: v.array(uint64),
    explicitBounds: v.array(v.number()),
  }),
  v.check((point) => point.bucketCounts.length === point.explicitBounds.length + 1),
  v.check(
    ({ bucketCounts, count }) =>
      bucketCounts.reduce((sum, one) => sum + Number(one), 0) === Number(count),
  ),
)
const Metric = v.strictObject({
  name: v.string(),
  description: v.string(),
  unit: v.string(),
  sum: v.optional(
    v.strictObject({
      aggregationTemporality: v.literal(2),
      isMonotonic: v.literal(true),
      dataPoints: v.array(NumberPoint),
    }),
  ),
  gauge: v.optional(v.strictObject({ dataPoints: v.array(NumberPoint) })),
  histogram: v.optional(
    v.strictObject({
      aggregationTemporality: v.literal(2),
      dataPoints: v.array(HistogramPoint),
    }),
  ),
})

const resource = v.strictObject({ attributes })
const scope = v.strictObject({ name: v.literal('meridian'), version: v.string() })
const BODIES = {
  '/v1/traces': v.strictObject({
    resourceSpans: v.array(
      v.strictObject({
        resource,
        scopeSpans: v.array(v.strictObject({ scope, spans: v.array(Span) })),
      }),
    ),
  }),
  '/v1/logs': v.strictObject({
    resourceLogs: v.array(
      v.strictObject({
        resource,
        scopeLogs: v.array(v.strictObject({ scope, logRecords: v.array(LogRecord) })),
      }),
    ),
  }),
  '/v1/metrics': v.strictObject({
    resourceMetrics: v.array(
      v.strictObject({
        resource,
        scopeMetrics: v.array(v.strictObject({ scope, metrics: v.array(Metric) })),
      }),
    ),
  }),
} as const

export type Attributes = Readonly<Record<string, unknown>>
export type CollectedSpan = Omit<v.InferOutput<typeof Span>, 'attributes'> & {
  readonly attributes: Attributes
}
export type CollectedLog = Omit<v.InferOutput<typeof LogRecord>, 'attributes'> & {
  readonly attributes: Attributes
}
export type CollectedMetric = v.InferOutput<typeof Metric>

/** Plain values by key. */
export function plain(list: v.InferOutput<typeof attributes>): Attributes {
  return Object.fromEntries(list.map(({ key, value }) => [key, plainValue(value)]))
}

function plainValue(value: v.InferOutput<typeof anyValue>): unknown {
  if ('arrayValue' in value) return value.arrayValue.values.map(plainValue)
  const [one] = Object.values(value)
  return 'intValue' in value ? Number(one) : one
}

/** What a collector answers instead of 200. */
export interface Refusal {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export class Collector {
  readonly server: http.Server
  readonly spans: CollectedSpan[] = []
  readonly logs: CollectedLog[] = []
  /** The last of each name. */
  readonly metrics = new Map<string, CollectedMetric>()
  readonly resources: Attributes[] = []
  readonly headers: IncomingHttpHeaders[] = []
  /** Bodies as they came, for whoever searches them. */
  readonly texts: string[] = []
  /** What could not be understood; a test expects none. */
  readonly faults: string[] = []
  /** Asked before anything is taken. */
  refuse: (path: string) => Refusal | 'hang' | undefined = () => undefined

  private constructor() {
    this.server = http.createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const path = request.url ?? ''
        const refusal = this.refuse(path)
        if (refusal === 'hang') return
        if (refusal !== undefined) {
          response.writeHead(refusal.status, { ...refusal.headers }).end(refusal.body)
          return
        }
        this.headers.push(request.headers)
        this.#take(path, request.headers, Buffer.concat(chunks))
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      })
    })
  }

  static async start(): Promise<Collector> {
    const collector = new Collector()
    await new Promise<void>((resolve) => collector.server.listen(0, '127.0.0.1', resolve))
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  #take(path: string, headers: IncomingHttpHeaders, body: Buffer): void {
    const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString()
    this.texts.push(text)
    if (headers['content-type'] !== 'application/json') this.faults.push('not JSON')
    const schema = BODIES[path as keyof typeof BODIES]
    const result = schema === undefined ? undefined : v.safeParse(schema, JSON.parse(text))
    if (result === undefined || !result.success) {
      const [issue] = result?.issues ?? []
      this.faults.push(
        `${path}: ${issue === undefined ? 'no such path' : `${v.getDotPath(issue)} ${issue.message}`}`,
      )
      return
    }
    const { output } = result
    if ('resourceSpans' in output) {
      for (const { resource: of, scopeSpans } of output.resourceSpans) {
        this.resources.push(plain(of.attributes))
        for (const { spans } of scopeSpans) {
          this.spans.push(...spans.map((one) => ({ ...one, attributes: plain(one.attributes) })))
        }
      }
    } else if ('resourceLogs' in output) {
      for (const { scopeLogs } of output.resourceLogs) {
        for (const { logRecords } of scopeLogs) {
          this.logs.push(
            ...logRecords.map((one) => ({ ...one, attributes: plain(one.attributes) })),
          )
        }
      }
    } else {
      for (const { scopeMetrics } of output.resourceMetrics) {
        for (const { metrics } of scopeMetrics) {
          for (const metric of metrics) this.metrics.set(metric.name, metric)
        }
      }
    }
  }

  /** Sum over the points of a counter, or of a histogram's counts, whose labels hold all of these. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const metric = this.metrics.get(name)
    const holds = (list: Attributes) =>
      Object.entries(labels).every(([key, value]) => list[key] === value)
    let sum = 0
    for (const point of metric?.sum?.dataPoints ?? []) {
      if (holds(plain(point.attributes))) sum += point.asDouble
    }
    for (const point of metric?.histogram?.dataPoints ?? []) {
      if (holds(plain(point.attributes))) sum += Number(point.count)
    }
    return sum
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}

/** The `telemetry` section: the access log, what is masked in it, debug headers, metrics and events. */
import * as v from 'valibot'
import { cidr, duration, expression, positiveInteger, secret, size } from '../values.ts'
import { AnalyticsSection } from './analytics.ts'

const ACCESS_FIELDS = [
  'time',
  'id',
  'method',
  'scheme',
  'host',
  'path',
  'query',
  'protocol',
  'status',
  'outcome',
  'duration_ms',
  'bytes_in',
  'bytes_out',
  'client',
  'country',
  'asn',
  'route',
  'region',
  'pool',
  'origin',
  'attempts',
  'cheaper_than',
  'cache',
  'cache_reason',
  'rules',
  'rule_targets',
  'blocked',
  'cleared',
  'principal',
  'subject',
  'tls',
  'user_agent',
  'referer',
  'aborted',
  'trace_id',
  'weight',
] as const

const accessField = v.picklist(
  ACCESS_FIELDS,
  'a field of the access log is expected (docs/telemetry.md has them all)',
)

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1))

const SampleRule = v.strictObject({
  when: v.pipe(expression, v.description('Which requests; the response is known.')),
  sample: v.pipe(share, v.description('Share of them that is logged, 0 to 1.')),
})

const LogFileOutput = v.strictObject({
  file: v.pipe(v.string(), v.minLength(1), v.description('Path of the file.')),
  rotate: v.pipe(
    v.optional(v.pipe(duration, v.minValue(60_000), v.maxValue(366 * 86_400_000))),
    v.description(
      'How much time a file holds, 1m to 366d; files begin at full hours, days… in UTC. The old one gets its time added to its name.',
    ),
  ),
  maxSize: v.pipe(
    v.optional(v.pipe(size, v.minValue(1024))),
    v.description('Size at which a new file is begun earlier.'),
  ),
  keep: v.pipe(
    v.optional(v.pipe(duration, v.minValue(60_000))),
    v.description('How long rotated files are kept. Left out: they are never deleted.'),
  ),
})

const AccessLog = v.pipe(
  v.strictObject({
    enabled: v.pipe(
      v.optional(v.boolean(), true),
      v.description('Whether each request leaves a line in the access log.'),
    ),
    format: v.pipe(
      v.optional(v.picklist(['json', 'combined', 'logpush']), 'json'),
      v.description(
        'json: one object a line. combined: the Combined Log Format of Apache httpd and nginx. logpush: JSON with the field names of Cloudflare Logpush.',
      ),
    ),
    fields: v.pipe(
      v.optional(
        v.pipe(
          v.array(
            v.union(
              [
                accessField,
                v.strictObject({
                  name: accessField,
                  as: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128))),
                }),
              ],
              'a field of the access log, or {"name": "status", "as": "http_status"}, is expected',
            ),
          ),
          v.minLength(1, 'at least one field is expected'),
        ),
      ),
      v.description(
        'Fields of a `json` line, in order, under their own name or another one. Left out: all of them.',
      ),
    ),
    output: v.pipe(
      v.optional(
        v.union(
          [v.literal('stdout'), LogFileOutput],
          'the access log goes to "stdout" or to {"file": "/path"}',
        ),
        'stdout',
      ),
      v.description('Where lines go. A file is opened for appending and reopened on SIGUSR1.'),
    ),
    sample: v.pipe(
      v.optional(share, 1),
      v.description(
        'Share of served requests that are logged, 0 to 1; the line carries `weight`. Errors, refusals and WAF matches are always logged.',
      ),
    ),
    rules: v.pipe(
      v.optional(v.array(SampleRule), []),
      v.description(
        'Another `sample` for some requests: the first rule that matches decides. Errors, refusals and WAF matches are logged all the same.',
      ),
    ),
  }),
  v.description('One line for each request, refused ones included.'),
)

const ServerTimingHeader = v.pipe(
  v.strictObject({
    phases: v.pipe(
      v.optional(
        v.pipe(
          v.array(v.picklist(['total', 'gateway', 'cache', 'origin', 'region'])),
          v.minLength(1, 'at least one phase is expected'),
        ),
        ['total', 'cache', 'origin'],
      ),
      v.description(
        'total: until the response header. origin: attempts, until the last response header. gateway: the rest. cache: the outcome. region: where the answer came from.',
      ),
    ),
    to: v.pipe(
      v.optional(
        v.union(
          [v.picklist(['everyone', 'debug']), v.array(cidr)],
          '"everyone", "debug" or a list of addresses is expected',
        ),
        'debug',
      ),
      v.description(
        'Who gets it. debug: who gets the debug headers. A list: clients with these addresses.',
      ),
    ),
  }),
  v.description('`Server-Timing` in responses. Left out: none.'),
)

const COLLECTOR_URL =
  'the URL of a collector is expected, such as "http://127.0.0.1:4318"; no query, no credentials'

function isCollectorUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, search, hash } = new URL(text)
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === ''
}

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(128))

const Mask = v.pipe(
  v.strictObject({
    ipv4Bits: v.pipe(
      v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(32)), 24),
      v.description('Leading bits of an IPv4 client address that are kept; 32 keeps all of it.'),
    ),
    ipv6Bits: v.pipe(
      v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(128)), 48),
      v.description('Leading bits of an IPv6 client address that are kept; 128 keeps all of it.'),
    ),
    headers: v.pipe(
      v.optional(v.array(name), []),
      v.description(
        'Further header fields whose values are never shown; adds to the built-in list.',
      ),
    ),
    queryKeys: v.pipe(
      v.optional(v.array(name), []),
      v.description(
        'Further query keys whose values are never shown; adds to the built-in list. Case, dashes and underscores do not matter.',
      ),
    ),
    subject: v.pipe(
      v.optional(v.picklist(['hash', 'mask', 'plain']), 'hash'),
      v.description(
        'How the subject of an identified caller is shown: a keyed hash, its first two characters, or as it is.',
      ),
    ),
    subjectKey: v.pipe(
      v.optional(secret),
      v.description(
        'Key of the subject hash. Without one it is drawn at start, so hashes cannot be compared across restarts or nodes.',
      ),
    ),
  }),
  v.description('What is hidden in logs, events, explanations and debug headers.'),
)

const DebugHeaders = v.pipe(
  v.strictObject({
    token: v.pipe(
      v.optional(secret),
      v.description('A caller that sends this in `meridian-debug` gets the debug headers.'),
    ),
    allowFrom: v.pipe(
      v.optional(v.array(cidr), []),
      v.description('Client addresses that get the debug headers by sending `meridian-debug: 1`.'),
    ),
  }),
  v.description('Response headers that say what the gateway decided, for authorised callers only.'),
)

const Metrics = v.pipe(
  v.strictObject({
    enabled: v.pipe(v.optional(v.boolean(), true), v.description('Whether metrics are counted.')),
    maxSeries: v.pipe(
      v.optional(v.pipe(positiveInteger, v.minValue(200), v.maxValue(100_000)), 2000),
      v.description(
        'Most time series of one process, 200 to 100000. Label sets beyond it are counted under `other`.',
      ),
    ),
  }),
  v.description('Prometheus metrics on the control port.'),
)

const Trace = v.pipe(
  v.strictObject({
    start: v.pipe(
      v.optional(v.boolean()),
      v.description(
        'Whether a request that no trusted proxy put into a trace begins one. Left out: when spans are exported. Where it is true or spans are exported, each attempt at an origin is a span; else the trace of a trusted proxy passes through as it is.',
      ),
    ),
    sampling: v.pipe(
      v.optional(share, 1),
      v.description(
        'Share of the traces begun here that are sampled, 0 to 1; told to origins. Errors and refusals are exported anyway.',
      ),
    ),
  }),
  v.description(
    'W3C Trace Context. It is believed from `trustedProxies` only; what others send is dropped.',
  ),
)

const collectorUrl = v.pipe(
  v.string(),
  v.check((text) => isCollectorUrl(text), COLLECTOR_URL),
  v.description(
    'Base URL of the collector; `/v1/traces`, `/v1/metrics` and `/v1/logs` are added to it.',
  ),
)

const Otlp = v.pipe(
  v.strictObject({
    endpoint: collectorUrl,
    headers: v.pipe(
      v.optional(
        v.record(
          v.pipe(
            v.string(),
            v.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, 'a header field name is expected'),
          ),
          v.union(
            [v.pipe(v.string(), v.regex(/^[\u0020-\u007e]*$/)), secret],
            'a value is text, or a secret by reference: {"env": "NAME"} or {"file": "/path"}',
          ),
        ),
        {},
      ),
      v.description('Fields for each request to the collector; credentials as secrets.'),
    ),
    signals: v.pipe(
      v.optional(
        v.pipe(
          v.array(v.picklist(['traces', 'metrics', 'logs'])),
          v.minLength(1, 'at least one of "traces", "metrics" and "logs" is expected'),
        ),
        ['traces', 'metrics', 'logs'],
      ),
      v.description('What is exported.'),
    ),
    interval: v.pipe(
      v.optional(v.pipe(duration, v.minValue(100, 'metrics are sent every 100ms at most')), '15s'),
      v.description('How often metrics are sent. Spans and log records wait a second at most.'),
    ),
    timeout: v.pipe(
      v.optional(v.pipe(duration, v.minValue(100), v.maxValue(60_000)), '10s'),
      v.description('For one request to the collector, 100ms to 1m.'),
    ),
    compression: v.pipe(
      v.optional(v.picklist(['gzip', 'none']), 'gzip'),
      v.description('Content coding of requests to the collector.'),
    ),
    queue: v.pipe(
      v.optional(v.pipe(positiveInteger, v.maxValue(100_000)), 4096),
      v.description(
        'Spans, and log records, that wait at most, 1 to 100000 each. What finds no room is dropped and counted.',
      ),
    ),
    resource: v.pipe(
      v.optional(v.record(v.pipe(v.string(), v.minLength(1), v.maxLength(128)), v.string()), {}),
      v.description(
        'Resource attributes besides `service.name` (`meridian` unless it is here), `service.version` and `service.instance.id`, which is drawn for each process.',
      ),
    ),
  }),
  v.description('Export by OTLP/HTTP (JSON) to an OpenTelemetry collector or whoever speaks it.'),
)

export const TelemetrySection = v.strictObject({
  access: v.optional(AccessLog, {}),
  mask: v.optional(Mask, {}),
  debugHeaders: v.optional(DebugHeaders, {}),
  metrics: v.optional(Metrics, {}),
  analytics: v.optional(AnalyticsSection),
  currency: v.pipe(
    v.optional(
      v.pipe(v.string(), v.regex(/^[A-Z]{3}$/, 'three letters are expected, such as "EUR"')),
    ),
    v.description('What the prices of `regions` are in; shown beside costs. ISO 4217.'),
  ),
  serverTiming: v.optional(ServerTimingHeader),
  trace: v.optional(Trace, {}),
  otlp: v.optional(Otlp),
  events: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(100_000)), 1000),
    v.description(
      'How many recent security, steering and health events are kept in memory, 1 to 100000.',
    ),
  ),
})

export type TelemetryConfig = v.InferOutput<typeof TelemetrySection>
export type OtlpConfig = NonNullable<TelemetryConfig['otlp']>
export type MaskConfig = TelemetryConfig['mask']
export type AccessLogConfig = TelemetryConfig['access']

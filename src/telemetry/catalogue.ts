/**
 * Every metric that Meridian exposes, in the order of a scrape. `docs/metrics.md` lists the same ones,
 * and a test compares the two. Names follow the Prometheus conventions (base units, `_total`), buckets
 * those of OpenTelemetry's `http.server.request.duration`.
 */
import type { Merge, MetricDefinition } from './metrics.ts'

/** Seconds; OpenTelemetry semantic conventions, HTTP metrics. */
const DURATION_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
] as const

function counter<const Labels extends readonly string[]>(
  name: string,
  help: string,
  ...labels: Labels
): MetricDefinition<Labels> {
  return { name, type: 'counter', help, labels }
}

function histogram<const Labels extends readonly string[]>(
  name: string,
  help: string,
  ...labels: Labels
): MetricDefinition<Labels> {
  return { name, type: 'histogram', help, labels, buckets: DURATION_BUCKETS }
}

function gauge<const Labels extends readonly string[]>(
  name: string,
  merge: Merge,
  help: string,
  ...labels: Labels
): MetricDefinition<Labels> {
  return { name, type: 'gauge', help, labels, merge }
}

export const CATALOGUE = {
  requests: counter(
    'meridian_http_requests_total',
    'Requests answered, refused ones included.',
    'route',
    'method',
    'status_class',
    'cache',
    'region',
  ),
  duration: histogram(
    'meridian_http_request_duration_seconds',
    'From the request header to the last byte of the reply.',
    'route',
    'status_class',
  ),
  requestBytes: counter(
    'meridian_http_request_body_bytes_total',
    'Request body bytes read from clients.',
    'route',
  ),
  responseBytes: counter(
    'meridian_http_response_body_bytes_total',
    'Response body bytes sent to clients.',
    'route',
  ),
  problems: counter(
    'meridian_http_problems_total',
    'Replies that the gateway itself made instead of an origin, by problem code.',
    'problem',
  ),
  aborted: counter(
    'meridian_http_aborted_total',
    'Requests whose client left before the reply was complete.',
    'route',
  ),
  inFlight: gauge('meridian_http_requests_in_flight', 'sum', 'Requests under way.'),
  attempts: counter(
    'meridian_upstream_attempts_total',
    'Tries at an origin, by how they ended.',
    'region',
    'pool',
    'outcome',
  ),
  attemptDuration: histogram(
    'meridian_upstream_attempt_duration_seconds',
    'Duration of one try at an origin.',
    'region',
  ),
  failovers: counter(
    'meridian_upstream_failovers_total',
    'Requests answered by another region than the one tried first.',
    'from',
    'to',
  ),
  egressBytes: counter(
    'meridian_region_egress_bytes_total',
    'Response body bytes that came out of a region, as clients got them.',
    'region',
    'route',
  ),
  regionCost: counter(
    'meridian_region_cost_total',
    'Estimated cost by the prices of the config: of `egress` and of `requests`, in its currency.',
    'region',
    'route',
    'part',
  ),
  costSaved: counter(
    'meridian_cost_saved_total',
    'Estimated cost that the `cache` or `steering` to a cheaper region has spared, in the currency of the config.',
    'route',
    'by',
  ),
  retryBudgetEmpty: counter(
    'meridian_upstream_retry_budget_empty_total',
    'Retries that were not made because the pool’s budget was used up.',
    'pool',
  ),
  heldRequests: counter(
    'meridian_upstream_held_requests_total',
    'Requests that waited for an origin to come up: `served`, `failed`, or `full` when too many waited already.',
    'outcome',
  ),
  hedges: counter(
    'meridian_upstream_hedges_total',
    'Requests sent to a second origin for speed: it `won` or `lost`; `refused` when it would have been too much load.',
    'outcome',
  ),
  compressed: counter(
    'meridian_compression_responses_total',
    'Responses that the gateway put a content coding on: `kept` from before, `made` as a whole, or as a `stream`.',
    'coding',
    'how',
  ),
  compressionSaved: counter(
    'meridian_compression_saved_bytes_total',
    'Bytes that codings of whole bodies spared the way to clients.',
    'coding',
  ),
  mirrored: counter(
    'meridian_mirror_requests_total',
    'Requests repeated to a mirror: `match`, a difference in `status` or `body`, `unknown` when the bodies were too long to compare, `failed`, or `dropped`.',
    'route',
    'result',
  ),
  rolloutRequests: counter(
    'meridian_rollout_requests_total',
    'Requests in a rollout, by the arm they were in and whether that arm failed them.',
    'rollout',
    'arm',
    'outcome',
  ),
  rolloutPercent: gauge(
    'meridian_rollout_percent',
    'min',
    'Share of clients in the new arm, per cent.',
    'rollout',
  ),
  rolloutCommands: counter(
    'meridian_rollout_commands_total',
    'Orders of operators that moved or held a rollout.',
    'rollout',
    'command',
  ),
  wafMatches: counter(
    'meridian_waf_matches_total',
    'Rule matches, by the action carried out (`simulated` when it was not, `cleared` when the client had solved the challenge).',
    'rule',
    'action',
  ),
  challenges: counter(
    'meridian_waf_challenges_total',
    'Challenges: `issued` as a page, `refused` to who takes no page, `solved`, `failed`, and requests that `passed` by a clearance. The reason is what was wrong with the clearance or the answer.',
    'outcome',
    'reason',
  ),
  logins: counter(
    'meridian_logins_total',
    'Logins of browsers: `begun`, `completed`, `failed`, sessions that were `refreshed` or not (`refresh-failed`), and `logout`. The reason is that of a failure.',
    'outcome',
    'reason',
  ),
  limitDecisions: counter(
    'meridian_limit_decisions_total',
    'Requests that a limit judged, by the decision.',
    'limit',
    'decision',
  ),
  limitKeys: gauge(
    'meridian_limit_keys',
    'sum',
    'Keys of a limit that have used something of it.',
    'limit',
  ),
  limitDisplaced: counter(
    'meridian_limit_displaced_total',
    'Keys that were forgotten too early because the table of a limit was full.',
    'limit',
  ),
  bandwidthWait: counter(
    'meridian_bandwidth_wait_seconds_total',
    'Time that response bodies were held back by a bandwidth limit.',
    'limit',
  ),
  penaltyEvents: counter(
    'meridian_penalty_events_total',
    'Refused requests that were held against their clients.',
    'event',
  ),
  penaltyTerms: counter('meridian_penalty_terms_total', 'Clients that were shut out.'),
  penaltiesShared: counter(
    'meridian_penalties_shared_total',
    'Clients in the penalty box that isolates of a Worker tell each other of: `sent`, `received`, or `failed` when they could not be sent.',
    'direction',
  ),
  penaltyClients: gauge('meridian_penalty_clients', 'sum', 'Clients that are shut out now.'),
  threatAnomalies: counter(
    'meridian_threat_anomalies_total',
    'Client networks that became anomalous.',
    'route',
  ),
  threatsNow: gauge(
    'meridian_threats',
    'sum',
    'Pairs of client network and route that are anomalous.',
  ),
  concurrencyLimit: gauge(
    'meridian_concurrency_limit',
    'sum',
    'Requests that may be under way towards a pool.',
    'pool',
  ),
  concurrencyInFlight: gauge(
    'meridian_concurrency_in_flight',
    'sum',
    'Requests that wait for a pool’s answer.',
    'pool',
  ),
  concurrencyShed: counter(
    'meridian_concurrency_shed_total',
    'Requests above the limit of a pool, `refused` or only `observed`.',
    'pool',
    'priority',
    'decision',
  ),
  roomVisits: counter(
    'meridian_waiting_room_visits_total',
    'Requests that a waiting room judged.',
    'room',
    'decision',
  ),
  roomQueue: gauge('meridian_waiting_room_queue', 'sum', 'Visitors that wait.', 'room'),
  healthTransitions: counter(
    'meridian_health_transitions_total',
    'Changes of an origin’s health.',
    'origin',
    'from',
    'to',
  ),
  healthProbes: counter(
    'meridian_health_probes_total',
    'Checks of origins that this process made: `good` or `bad`.',
    'result',
  ),
  fleetReports: counter(
    'meridian_fleet_health_reports_total',
    'Verdicts on origins shared through Redis: `sent`, `received`, or `failed` when they could not be sent.',
    'direction',
  ),
  fleetGateways: gauge(
    'meridian_fleet_gateways',
    'max',
    'Gateways whose verdicts on origins are fresh, this one included.',
  ),
  nameResolutions: counter(
    'meridian_name_resolutions_total',
    'Questions for the addresses of origins’ names: `answered` or `failed`.',
    'result',
  ),
  originHealthy: gauge(
    'meridian_origin_healthy',
    'min',
    '1 while the origin may be used, else 0.',
    'origin',
  ),
  regionHealthy: gauge(
    'meridian_region_healthy',
    'min',
    '1 while the region has an origin that may be used, else 0.',
    'region',
  ),
  regionDrained: gauge(
    'meridian_region_drained',
    'max',
    '1 while the region takes no new requests, by the config or by an operator, else 0.',
    'region',
  ),
  cacheEntries: gauge('meridian_cache_entries', 'sum', 'Stored responses.', 'tier'),
  cacheBytes: gauge(
    'meridian_cache_bytes',
    'sum',
    'What stored responses take of the tier (`memory`, `disk`).',
    'tier',
  ),
  cacheEvictions: counter(
    'meridian_cache_evictions_total',
    'Stored responses that left a tier because it was full.',
    'tier',
  ),
  cacheRejections: counter(
    'meridian_cache_rejections_total',
    'Responses that a tier did not take in, or lost to more useful ones at once.',
    'tier',
  ),
  cacheServedBytes: counter(
    'meridian_cache_response_bytes_total',
    'Response body bytes of requests that the cache was asked about, by its outcome.',
    'route',
    'cache',
  ),
  cacheCollapsed: counter(
    'meridian_cache_collapsed_total',
    'Requests answered by the origin exchange of another request.',
  ),
  cacheFills: counter(
    'meridian_cache_fills_total',
    'Exchanges with an origin that the cache began.',
  ),
  cacheFillsFailed: counter(
    'meridian_cache_fills_failed_total',
    'Exchanges with an origin that failed, or whose body broke off.',
  ),
  cacheFilling: gauge(
    'meridian_cache_filling_bytes',
    'sum',
    'Memory set aside for bodies that are still arriving.',
  ),
  cacheHitForMiss: counter(
    'meridian_cache_hit_for_miss_total',
    'Requests that did not wait for another one, because the last answer was not for sharing.',
  ),
  cachePurges: counter('meridian_cache_purges_total', 'Purges ordered.'),
  cacheInvalidations: counter(
    'meridian_cache_invalidations_total',
    'Unsafe requests that invalidated what was stored.',
  ),
  cacheEpochs: gauge('meridian_cache_purge_names', 'max', 'Purged names that are remembered.'),
  limitShared: counter(
    'meridian_limit_shared_decisions_total',
    'Requests that a limit of the fleet judged, by who decided: units leased before, the store, a count behind the answers, or without the store `local`, `open` and `closed`.',
    'limit',
    'source',
  ),
  limitLeased: counter(
    'meridian_limit_leased_units_total',
    'Units of a limit of the fleet that were fetched ahead.',
    'limit',
  ),
  limitReturned: counter(
    'meridian_limit_returned_units_total',
    'Units that were fetched ahead, not used in time and given back.',
    'limit',
  ),
  limitUntold: counter(
    'meridian_limit_untold_total',
    'Corrections and counts that the store of the fleet may not have heard of.',
    'limit',
  ),
  limitGateways: gauge(
    'meridian_limit_gateways',
    'max',
    'Gateway processes that count limits together, as last known.',
  ),
  revocations: gauge('meridian_revocations', 'max', 'Revocations that are known.'),
  revocationsAge: gauge(
    'meridian_revocations_age_seconds',
    'max',
    'Since the revocations of the fleet were read from the shared server.',
  ),
  cacheShield: counter(
    'meridian_cache_shield_requests_total',
    'Fetches for which the shield was to be asked: answered, refused, failed, down.',
    'outcome',
  ),
  cacheRedisLookups: counter(
    'meridian_cache_redis_lookups_total',
    'Lookups in the tier that the fleet shares: found, nothing, purged, damaged, unavailable.',
    'outcome',
  ),
  cacheRedisRejected: counter(
    'meridian_cache_redis_rejections_total',
    'Responses that could not be written to the tier that the fleet shares.',
  ),
  cacheReserveLookups: counter(
    'meridian_cache_reserve_lookups_total',
    'Lookups in the bucket of a Worker: found, nothing, purged, expired, damaged, busy, failed, unavailable.',
    'outcome',
  ),
  cacheReserveWrites: counter(
    'meridian_cache_reserve_writes_total',
    'Responses for the bucket of a Worker: written, known (there already), unfit, busy, conflict, failed, unavailable.',
    'outcome',
  ),
  cacheFleetPurges: counter(
    'meridian_cache_fleet_purges_total',
    'Purged names told to the fleet, and heard of from it.',
    'direction',
  ),
  cacheFleetWaiting: gauge(
    'meridian_cache_fleet_waiting',
    'sum',
    'Purged names that the fleet could not be told yet.',
  ),
  redisUp: gauge('meridian_redis_up', 'min', '1 while the shared Redis server answers, else 0.'),
  redisCommands: counter(
    'meridian_redis_commands_total',
    'Commands for the shared Redis server, by how they ended.',
    'outcome',
  ),
  redisDuration: histogram(
    'meridian_redis_command_duration_seconds',
    'From handing a command over to its answer, or to giving it up.',
  ),
  configReloads: counter(
    'meridian_config_reloads_total',
    'Attempts to load a configuration, by result.',
    'result',
  ),
  configSuccess: gauge(
    'meridian_config_last_reload_successful',
    'min',
    '1 when the last attempt to load the configuration succeeded, else 0.',
  ),
  configTimestamp: gauge(
    'meridian_config_last_reload_success_timestamp_seconds',
    'min',
    'When the configuration in use was loaded, seconds since the epoch.',
  ),
  geoAge: gauge(
    'meridian_geo_database_age_seconds',
    'max',
    'Time since the geo database in use was built.',
  ),
  logLines: counter('meridian_access_log_lines_total', 'Access log lines handed to the writer.'),
  logSampledOut: counter(
    'meridian_access_log_sampled_out_total',
    'Requests left out of the access log by sampling.',
  ),
  logDropped: counter(
    'meridian_access_log_dropped_total',
    'Access log lines dropped because the writer could not keep up or failed.',
  ),
  alerts: counter(
    'meridian_alerts_total',
    'Alerts `delivered`, `suppressed` because one like it was sent a moment ago, `dropped` because too many were waiting, `refused` by the receiver, or `failed`.',
    'alert',
    'outcome',
  ),
  analyticsRecords: counter(
    'meridian_analytics_records_total',
    'Requests written to the analytics files.',
  ),
  analyticsDropped: counter(
    'meridian_analytics_dropped_total',
    'Requests lost to the analytics files because the disk was slow, full or not writable.',
  ),
  otlpSent: counter(
    'meridian_otlp_sent_total',
    'Spans, log records and data points that the collector took.',
    'signal',
  ),
  otlpDropped: counter(
    'meridian_otlp_dropped_total',
    'Spans, log records and data points that were lost: no room to wait, refused, or not sent in time.',
    'signal',
    'reason',
  ),
  otlpRetries: counter(
    'meridian_otlp_retries_total',
    'Requests to the collector that were made again.',
    'signal',
  ),
  otlpWaiting: gauge(
    'meridian_otlp_waiting',
    'sum',
    'Spans and log records that wait to be sent.',
    'signal',
  ),
  auditEvents: counter(
    'meridian_audit_events_total',
    'Changes by the control port and refused attempts: done, refused, failed.',
    'outcome',
  ),
  auditPending: gauge(
    'meridian_audit_pending_entries',
    'sum',
    'Entries of the audit log that wait for their file; above 0 for long: the disk is full.',
  ),
  auditLost: counter(
    'meridian_audit_lost_total',
    'Entries of the audit log that no file will have: too many were waiting.',
  ),
  analyticsCompacted: counter(
    'meridian_analytics_compacted_records_total',
    'Requests of finished hours that were put into Parquet files.',
  ),
  analyticsUnreadable: counter(
    'meridian_analytics_unreadable_lines_total',
    'Lines of analytics files that were cut or are no records.',
  ),
  analyticsUploads: counter(
    'meridian_analytics_uploads_total',
    'Analytics files that were `stored` in the bucket, `found` there already, or `failed`.',
    'outcome',
  ),
  analyticsRemoved: counter(
    'meridian_analytics_removed_files_total',
    'Analytics files removed because of their `age`, or for the `size` of all.',
    'because',
  ),
  analyticsFailures: counter(
    'meridian_analytics_failures_total',
    'Times that the analytics folder could not be tended, by task.',
    'task',
  ),
  events: counter('meridian_events_total', 'Security, steering, health and config events.', 'kind'),
  liveSubscribers: gauge(
    'meridian_live_subscribers',
    'sum',
    'Readers of `/live` on the control port.',
  ),
  liveDropped: counter(
    'meridian_live_dropped_total',
    'Readers of `/live` that were cut off because they did not keep up.',
  ),
  series: gauge('meridian_metric_series', 'max', 'Time series in use, of the budget.'),
  seriesOverflow: counter(
    'meridian_series_overflow_total',
    'Look-ups of label sets beyond the series budget, counted under `other`.',
    'metric',
  ),
  build: gauge('meridian_build_info', 'max', 'Always 1.', 'version', 'runtime'),
  processCpu: counter('process_cpu_seconds_total', 'User and system CPU time.'),
  processMemory: gauge('process_resident_memory_bytes', 'sum', 'Resident memory.'),
  processHeap: gauge('meridian_process_heap_used_bytes', 'sum', 'JavaScript heap in use.'),
  processStart: gauge(
    'process_start_time_seconds',
    'min',
    'When the oldest process started, seconds since the epoch.',
  ),
  loopDelay: gauge(
    'meridian_event_loop_delay_seconds',
    'max',
    '99th percentile of the event loop delay, the worse of the last two spans of 15 seconds.',
  ),
  load: gauge(
    'meridian_load_ratio',
    'max',
    'Share of the last seconds in which the event loop was busy, 0 to 1: what to scale by.',
  ),
  connections: gauge('meridian_open_connections', 'sum', 'Client connections.'),
} as const satisfies Readonly<Record<string, MetricDefinition>>

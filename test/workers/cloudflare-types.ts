/** Cloudflare's own bindings fit where ours are asked for; checked by the compiler alone. */
import type {
  AnalyticsEngineDataset,
  ExecutionContext,
  KVNamespace,
  Queue,
  RateLimit,
} from '@cloudflare/workers-types'
import type * as ours from '../../src/runtimes/workers/bindings.ts'

export function fits(
  kv: KVNamespace,
  queue: Queue,
  limiter: RateLimit,
  dataset: AnalyticsEngineDataset,
  context: ExecutionContext,
): [
  ours.KeyValueStore,
  ours.RecordQueue,
  ours.FloodLimiter,
  ours.AnalyticsDataset,
  ours.ExecutionContext,
] {
  return [kv, queue, limiter, dataset, context]
}

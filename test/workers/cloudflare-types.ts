/** Cloudflare's own bindings fit where ours are asked for; checked by the compiler alone. */
import type {
  AnalyticsEngineDataset,
  ExecutionContext,
  KVNamespace,
  Queue,
  R2Bucket,
  RateLimit,
} from '@cloudflare/workers-types'
import type * as ours from '../../src/runtimes/workers/bindings.ts'

export function fits(
  kv: KVNamespace,
  queue: Queue,
  limiter: RateLimit,
  dataset: AnalyticsEngineDataset,
  bucket: R2Bucket,
  context: ExecutionContext,
): [
  ours.KeyValueStore,
  ours.RecordQueue,
  ours.FloodLimiter,
  ours.AnalyticsDataset,
  ours.ObjectBucket,
  ours.ExecutionContext,
] {
  return [kv, queue, limiter, dataset, bucket, context]
}

/** What the primary and its worker processes say to each other; questions are numbered and have a time limit. */
import type { ExplainQuery } from '../../admin/view.ts'
import type { PurgeNote } from '../../cache/response-cache.ts'
import type { Revocation } from '../../iam/revocation.ts'
import type { RolloutStatus } from '../../steering/rollouts.ts'
import type { AlertNotice } from '../../telemetry/alerts/notice.ts'
import type { EventKind } from '../../telemetry/events.ts'
import type { CacheQuestion } from './cache-control.ts'
import type { ControlQuestion } from './control.ts'
import type { HealthNote } from './health-siblings.ts'
import type { MirrorQuestion } from './mirror-control.ts'
import type { RolloutQuestion } from './rollout-control.ts'

/** What the primary asks of a worker. */
export type Question =
  | CacheQuestion
  | RolloutQuestion
  | MirrorQuestion
  | ControlQuestion
  | { readonly ask: 'metrics' | 'status' | 'live' }
  | { readonly ask: 'threats'; readonly limit: number }
  | { readonly ask: 'alert'; readonly notice: AlertNotice }
  | { readonly ask: 'explain'; readonly query: ExplainQuery }
  | {
      readonly ask: 'events'
      readonly since: number
      readonly limit: number
      readonly kind: EventKind | undefined
    }

export type Asked = Question & { readonly id: number }
export type Command = { readonly command: 'reload' | 'reopen-log' | 'stop' }
/** What others found out of origins. */
export type Heard = { readonly health: readonly HealthNote[] }
/** What a worker says. */
export type FromWorker =
  | { readonly ready: readonly number[] }
  | { readonly failed: string }
  | { readonly purged: readonly PurgeNote[] }
  | { readonly rollout: RolloutStatus }
  | { readonly revoked: Revocation }
  | { readonly health: readonly HealthNote[] }
  | { readonly alert: AlertNotice }
  | { readonly id: number; readonly answer: unknown }

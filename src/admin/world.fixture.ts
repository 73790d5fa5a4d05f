/** A control port over a gateway that is not there: what it was asked to do is kept, for the tests. */
import type { Hono } from 'hono'
import { telemetryConfig } from '../telemetry/exchange.fixture.ts'
import { Mask } from '../telemetry/mask.ts'
import { createAdminApp } from './app.ts'
import { AuditLog } from './audit.ts'
import type { AdminAccess } from './guard.ts'
import type { ControlRegion, DrainOrder } from './regions-view.ts'
import type { AdminEnv } from './route.ts'
import type { AdminView } from './view.ts'

export const TOKEN = 'a-token-of-some-length'
export const READER = 'a-token-that-may-read'
export const NOW = Date.UTC(2026, 10, 24, 12)
export const mask = new Mask(telemetryConfig().mask, new Uint8Array(16))

export function region(name: string, facts: Partial<ControlRegion> = {}): ControlRegion {
  return {
    name,
    state: 'up',
    drained: false,
    drainedBy: null,
    since: null,
    until: null,
    by: null,
    reason: null,
    inflight: 0,
    pools: [],
    ...facts,
  }
}

export interface AdminWorldFixture {
  readonly app: Hono<AdminEnv>
  readonly audit: AuditLog
  /** Orders that reached the gateway. */
  readonly done: unknown[]
  readonly call: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => Promise<Response>
}

/** Two regions; writes are taken with `TOKEN`, reads with `READER` too. */
export function adminWorld(
  view: Partial<AdminView> = {},
  access: Partial<AdminAccess> = {},
): AdminWorldFixture {
  const done: unknown[] = []
  const audit = new AuditLog(() => NOW)
  const regions = new Map<string, DrainOrder>()
  const app = createAdminApp(
    {
      status: () => ({
        version: '1.2.3',
        runtime: 'test',
        startedAt: 0,
        workers: 1,
        config: { hash: '', file: null, loadedAt: 0, lastError: null },
        geo: { source: 'none', builtAt: null },
        regions: [],
      }),
      readiness: () => ({ ready: true, reasons: [] }),
      metrics: () => 'up 1\n',
      config: () => ({}),
      explain: () => {
        throw new Error('not here')
      },
      events: () => [],
      now: () => NOW,
      regions: {
        list: async () =>
          ['eu', 'us'].map((name) => {
            const drain = regions.get(name)
            return drain === undefined
              ? region(name)
              : region(name, {
                  state: 'drained',
                  drained: true,
                  drainedBy: 'operator',
                  since: NOW,
                  until: drain.until,
                  by: drain.by,
                  reason: drain.reason,
                })
          }),
        drain: async (order) => {
          done.push(order)
          regions.set(order.region, order)
          return { workers: 2, of: 2 }
        },
        enable: async (name, by) => {
          done.push({ enable: name, by })
          regions.delete(name)
          return { workers: 2, of: 2 }
        },
      },
      audit: {
        record: (event) => void audit.record(event),
        after: (seq, limit) => audit.after(seq, limit),
        report: () => ({ ...audit.state, file: null, pending: 0, lost: 0, lastError: null }),
      },
      ...view,
    },
    {
      token: TOKEN,
      readToken: READER,
      hosts: [],
      isUnixSocket: false,
      monotonic: () => 0,
      peer: () => '192.0.2.1',
      ...access,
    },
    () => mask,
  )
  return {
    app,
    audit,
    done,
    call: async (method, path, body, headers = {}) =>
      app.request(`http://localhost${path}`, {
        method,
        headers: {
          host: 'localhost',
          'content-type': 'application/json',
          authorization: `Bearer ${TOKEN}`,
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
  }
}

import { availableParallelism } from 'node:os'
import { cloudflareTest } from '@cloudflare/vitest-pool-workers'
import { defineConfig } from 'vitest/config'

/** For what never ends: a slow machine is no fault, and each wait in a test has a deadline of its own. */
const HANGS_MS = 60_000

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'node',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/workers/**', 'test/edge/**'],
          testTimeout: HANGS_MS,
          hookTimeout: HANGS_MS,
          // Many tests wait: for processes, sockets, probes. One at a time would leave the processor idle.
          maxWorkers: Math.max(3, availableParallelism()),
          sequence: { groupOrder: 0 },
        },
      },
      {
        // The files of this project and the next share origins that they reset: one at a time.
        test: {
          name: 'edge',
          include: ['test/edge/**/*.test.ts'],
          globalSetup: ['test/suite/origins.ts'],
          testTimeout: HANGS_MS,
          hookTimeout: HANGS_MS,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Inside workerd, offline: Miniflare stands in for Cloudflare.
        plugins: [
          cloudflareTest({
            main: './test/workers/entry.ts',
            miniflare: {
              compatibilityDate: '2026-04-01',
              compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
              durableObjects: {
                COUNTERS: { className: 'CounterShard', useSQLite: true },
                PROBER: { className: 'HealthProber', useSQLite: true },
                NOTICES: { className: 'NoticeBoard', useSQLite: true },
              },
              kvNamespaces: ['CONFIG'],
              r2Buckets: ['RESERVE'],
              ratelimits: { FLOOD: { simple: { limit: 5, period: 60 } } },
            },
          }),
        ],
        test: {
          name: 'workers',
          include: ['test/workers/**/*.test.ts'],
          globalSetup: ['test/suite/origins.ts', 'test/workers/waf-parity.ts'],
          testTimeout: HANGS_MS,
          hookTimeout: HANGS_MS,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})

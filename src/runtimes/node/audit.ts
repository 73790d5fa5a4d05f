/** The audit log of a gateway's control port: memory, and the file where the config names one. */
import { AuditLog } from '../../admin/audit.ts'
import type { AuditView } from '../../admin/audit-view.ts'
import type { Logger } from '../../ports.ts'
import { CATALOGUE } from '../../telemetry/catalogue.ts'
import type { MetricsSnapshot } from '../../telemetry/metrics.ts'
import { AuditFile } from './audit-file.ts'
import type { ConfigBundle } from './config-file.ts'

export interface OpenAudit {
  readonly view: AuditView
  /** For the scrape: the process that has the control port need not be one that serves. */
  metrics(): MetricsSnapshot
  close(): Promise<void>
}

/** @throws ConfigError when the file cannot be used */
export async function openAudit(bundle: ConfigBundle, log: Logger): Promise<OpenAudit> {
  const { file: path } = bundle.config.admin.audit
  const opened = path === undefined ? undefined : await AuditFile.open(path, bundle.path, log)
  const file = opened?.file
  const audit = new AuditLog(Date.now, file, opened?.head)
  if (opened !== undefined && opened.cutBytes > 0) {
    audit.record({
      principal: 'gateway',
      peer: 'gateway',
      action: 'audit.recover',
      target: path ?? '',
      outcome: 'done',
      status: 0,
      reason: 'the last line had been cut while it was written, and was taken away',
      detail: { bytes: opened.cutBytes },
    })
  }
  const counts = new Map<string, number>()
  return {
    view: {
      record: (event) => {
        counts.set(event.outcome, (counts.get(event.outcome) ?? 0) + 1)
        audit.record(event)
      },
      after: (seq, limit) => audit.after(seq, limit),
      report: () => ({
        ...audit.state,
        file: path ?? null,
        pending: file?.pending ?? 0,
        lost: file?.lost ?? 0,
        lastError: file?.lastError ?? null,
      }),
    },
    metrics: () => [
      {
        definition: CATALOGUE.auditEvents,
        series: [...counts].map(([outcome, value]) => ({ labels: [outcome], value })),
      },
      {
        definition: CATALOGUE.auditPending,
        series: [{ labels: [], value: file?.pending ?? 0 }],
      },
      { definition: CATALOGUE.auditLost, series: [{ labels: [], value: file?.lost ?? 0 }] },
    ],
    close: async () => file?.close(),
  }
}

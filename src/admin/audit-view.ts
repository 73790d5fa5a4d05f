/** The audit log as the control port sees it. The runtime implements it. */
import type { AuditEntry, AuditEvent, AuditState } from './audit.ts'

export interface AuditReport extends AuditState {
  /** Null: entries live in memory only. */
  readonly file: string | null
  /** Entries that are not on disk yet. */
  readonly pending: number
  /** Entries that never will be: too many were waiting for a disk that was full. */
  readonly lost: number
  /** Why the last write failed; null when it did not. */
  readonly lastError: string | null
}

export interface AuditView {
  record(event: AuditEvent): void
  after(seq: number, limit: number): readonly AuditEntry[]
  report(): AuditReport
}

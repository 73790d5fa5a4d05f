/** What an alert says; plain data, which goes from one process to another. */
import type { EventValue } from '../events.ts'

export interface AlertNotice {
  /** Name of the alert. */
  readonly alert: string
  /** What it is about: notices with one subject are one thing that goes on, or comes again. */
  readonly subject: string
  readonly state: 'firing' | 'resolved'
  /** One sentence for people. */
  readonly summary: string
  /** Masked already. */
  readonly detail: Readonly<Record<string, EventValue>>
  /** Milliseconds since the epoch. */
  readonly time: number
}

/**
 * Takes notices to where they are wanted: not more often than they may, signed, and again when nobody answers.
 * What cannot be delivered is counted and logged; nothing grows without bound.
 */
import type { AlertConfig, AlertsConfig } from '../../config/sections/alerts.ts'
import type { Exchange, Millis } from '../../exchange.ts'
import type { Clock, Logger, Random, Uplink } from '../../ports.ts'
import type { AlertNotice } from './notice.ts'
import { sign } from './signature.ts'

export type AlertOutcome = 'delivered' | 'suppressed' | 'dropped' | 'refused' | 'failed'

export interface CourierPorts {
  readonly clock: Clock
  readonly random: Random
  readonly uplink: Uplink
  readonly log: Logger
  readonly count: (alert: string, outcome: AlertOutcome) => void
}

/** An alert with what its config only refers to. */
export interface ReadyAlert {
  readonly config: AlertConfig
  readonly url: string
  readonly key: Uint8Array
  /** Of `when.expression`; undefined without one. */
  readonly matches?: ((x: Exchange) => boolean) | undefined
}

/** Messages under way, waiting for their next try included. */
const MOST_UNDER_WAY = 100
/** Subjects whose last message is remembered; the oldest is forgotten. */
const MOST_SUBJECTS = 1000
const TRIES = 6
const RETRY_MS = 1000
const ANSWER_MS = 10_000

interface Subject {
  isFiring: boolean
  sentAt: Millis
  suppressed: number
  /** What has come again after it was over, and is told if it lasts until it may be. */
  waiting: AlertNotice | undefined
}

export class AlertCourier {
  readonly #ports: CourierPorts
  readonly #subjects = new Map<string, Subject>()
  #alerts = new Map<string, ReadyAlert>()
  #underWay = 0
  #isStopped = false

  constructor(ports: CourierPorts) {
    this.#ports = ports
  }

  /** Alerts from now on; messages under way go where they were to go. */
  configure(alerts: readonly ReadyAlert[]): void {
    this.#alerts = new Map(alerts.map((alert) => [alert.config.name, alert]))
  }

  stop(): void {
    this.#isStopped = true
  }

  send(notice: AlertNotice): void {
    const alert = this.#alerts.get(notice.alert)
    // A reload has taken it out.
    if (alert === undefined) return
    const subject = this.#subjectOf(notice)
    const now = this.#ports.clock.monotonic()
    if (notice.state === 'resolved') {
      subject.waiting = undefined
      // Nobody was told, or everybody knows: several processes see the same thing.
      if (!subject.isFiring) return
    } else if (now - subject.sentAt < alert.config.interval) {
      subject.suppressed++
      this.#ports.count(notice.alert, 'suppressed')
      if (!subject.isFiring)
        this.#wait(subject, notice, subject.sentAt + alert.config.interval - now)
      return
    }
    if (this.#underWay >= MOST_UNDER_WAY) {
      this.#ports.count(notice.alert, 'dropped')
      this.#ports.log.error('an alert was dropped: too many are waiting', {
        alert: notice.alert,
        summary: notice.summary,
      })
      return
    }
    const body = JSON.stringify(messageOf(notice, subject.suppressed))
    subject.isFiring = notice.state === 'firing'
    subject.suppressed = 0
    if (notice.state === 'firing') subject.sentAt = now
    this.#underWay++
    void this.#deliver(alert, this.#newId(), body).finally(() => {
      this.#underWay--
    })
  }

  #wait(subject: Subject, notice: AlertNotice, delay: Millis): void {
    const isTimed = subject.waiting !== undefined
    subject.waiting = notice
    if (isTimed) return
    this.#ports.clock.after(delay, () => {
      const last = subject.waiting
      subject.waiting = undefined
      if (last !== undefined && !this.#isStopped) this.send(last)
    })
  }

  #subjectOf({ alert, subject }: AlertNotice): Subject {
    const key = `${alert}\0${subject}`
    let found = this.#subjects.get(key)
    if (found === undefined) {
      if (this.#subjects.size >= MOST_SUBJECTS) {
        for (const oldest of this.#subjects.keys()) {
          this.#subjects.delete(oldest)
          break
        }
      }
      found = {
        isFiring: false,
        sentAt: Number.NEGATIVE_INFINITY,
        suppressed: 0,
        waiting: undefined,
      }
      this.#subjects.set(key, found)
    }
    return found
  }

  #newId(): string {
    let id = 'msg_'
    for (const byte of this.#ports.random.bytes(16)) id += byte.toString(16).padStart(2, '0')
    return id
  }

  async #deliver(alert: ReadyAlert, id: string, body: string): Promise<void> {
    const { clock, random, uplink, log, count } = this.#ports
    const { name } = alert.config
    let reason = ''
    for (let attempt = 0; attempt < TRIES && !this.#isStopped; attempt++) {
      if (attempt > 0) {
        const pause = RETRY_MS * 4 ** (attempt - 1) * (0.75 + random.next() / 2)
        await new Promise<void>((resolve) => clock.after(pause, resolve))
      }
      // A receiver refuses messages with an old timestamp: each try has its own.
      const seconds = Math.floor(clock.now() / 1000)
      try {
        const headers = await sign(alert.key, id, seconds, body)
        const { status } = await uplink.post(alert.url, headers, body, ANSWER_MS)
        if (status >= 200 && status < 300) {
          count(name, 'delivered')
          return
        }
        reason = `it answered ${status}`
        if (status < 500 && status !== 408 && status !== 429) {
          count(name, 'refused')
          log.error('an alert was refused', { alert: name, reason })
          return
        }
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error)
      }
    }
    count(name, 'failed')
    log.error('an alert could not be delivered', { alert: name, reason, message: id })
  }
}

/** In the shape that Standard Webhooks suggests. */
function messageOf(notice: AlertNotice, suppressed: number): object {
  const { alert, state, summary, detail, time } = notice
  return {
    type: `meridian.alert.${state}`,
    timestamp: new Date(time).toISOString(),
    data: { alert, state, summary, detail, suppressed },
  }
}

/** @returns what is wrong with the config's secret or URL, by the field's name */
export function readyAlerts(
  configs: AlertsConfig,
  read: (ref: AlertConfig['secret']) => string,
  isWebhook: (url: string) => boolean,
): { alerts: ReadyAlert[]; faults: { index: number; field: 'url' | 'secret'; message: string }[] } {
  const alerts: ReadyAlert[] = []
  const faults: { index: number; field: 'url' | 'secret'; message: string }[] = []
  configs.forEach((config, index) => {
    const url = typeof config.url === 'string' ? config.url : read(config.url)
    if (!isWebhook(url)) {
      faults.push({ index, field: 'url', message: 'the secret is no http or https URL' })
    }
    const key = keyOf(read(config.secret))
    if (key === undefined) {
      const message = 'at least 16 characters are expected, or "whsec_" and Base64 of 16 bytes'
      faults.push({ index, field: 'secret', message })
    } else alerts.push({ config, url, key })
  })
  return { alerts, faults }
}

function keyOf(text: string): Uint8Array | undefined {
  if (!text.startsWith('whsec_')) {
    return text.length < 16 ? undefined : new TextEncoder().encode(text)
  }
  try {
    const bytes = Uint8Array.from(atob(text.slice('whsec_'.length)), (c) => c.charCodeAt(0))
    return bytes.length < 16 ? undefined : bytes
  } catch (error) {
    if (error instanceof DOMException) return undefined
    throw error
  }
}

/** Alerts of one process: what it sees goes to whoever delivers, itself or another worker. */
import type { Logger } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import { isInMask } from '../../steering/regions.ts'
import { AlertCourier } from '../../telemetry/alerts/courier.ts'
import { AlertMonitor } from '../../telemetry/alerts/monitor.ts'
import type { AlertNotice } from '../../telemetry/alerts/notice.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { nodeClock, nodeRandom } from './clock.ts'
import { nodeUplink } from './uplink.ts'

export class Alerts {
  readonly #courier: AlertCourier
  readonly #uplink = nodeUplink('none')
  readonly #telemetry: Telemetry
  readonly #tell: (notice: AlertNotice) => void
  readonly #unsubscribe: () => void
  #monitor: AlertMonitor | undefined
  #isLooking = false

  /** @param tell undefined: this process delivers what it sees */
  constructor(
    telemetry: Telemetry,
    log: Logger,
    tell: ((notice: AlertNotice) => void) | undefined,
  ) {
    this.#telemetry = telemetry
    this.#courier = new AlertCourier({
      clock: nodeClock,
      random: nodeRandom,
      uplink: this.#uplink,
      log,
      count: (alert, outcome) => telemetry.metrics.alerts.add([alert, outcome]),
    })
    this.#tell = tell ?? ((notice) => this.#courier.send(notice))
    this.#unsubscribe = telemetry.events.subscribe((event) => this.#monitor?.event(event))
  }

  /** New alerts, after a start or a reload. */
  configure(snapshot: Snapshot): void {
    const { config } = snapshot
    this.#monitor?.stop()
    this.#courier.configure(snapshot.alerts)
    const monitor =
      config.alerts.length === 0
        ? undefined
        : new AlertMonitor(snapshot.alerts, nodeClock, this.#tell)
    this.#monitor = monitor
    this.#telemetry.observer =
      monitor === undefined ? undefined : (record, x) => monitor.observe(record, x)
    monitor?.start()
    this.look(() => snapshot)
  }

  /** Looks at the regions soon: several origins of one may change at once. */
  look(snapshot: () => Snapshot): void {
    if (this.#isLooking || this.#monitor === undefined) return
    this.#isLooking = true
    setImmediate(() => {
      this.#isLooking = false
      const { regions, health } = snapshot()
      const up = regions
        .ids()
        .map((id, index): [string, boolean] => [id, isInMask(health.low, health.high, index)])
      this.#monitor?.regions(new Map(up))
    })
  }

  /** A notice of this or another process. */
  deliver(notice: AlertNotice): void {
    this.#courier.send(notice)
  }

  stop(): void {
    this.#unsubscribe()
    this.#monitor?.stop()
    this.#courier.stop()
    void this.#uplink.close?.()
  }
}

/**
 * A gateway's part in what a fleet thinks of origins: what it reports, and what becomes of the reports of others
 * on its own board. Pure: the runtime carries reports and calls `review` now and then.
 */
import type { Millis } from '../exchange.ts'
import type { HealthBoard } from './board.ts'
import { type HealthReport, SharedHealth } from './share.ts'

/** What goes to other gateways; when it was said is when it arrives. */
export type OwnReport = Omit<HealthReport, 'at'>

export class FleetHealth {
  readonly #node: string
  readonly #shared: SharedHealth
  readonly #freshForMs: Millis
  /** When each gateway was heard last. */
  readonly #nodes = new Map<string, Millis>()
  #epoch: number

  /**
   * @param node       name of this gateway, unlike all others
   * @param freshForMs how long a report counts
   * @param epoch      above every one that the gateway has sent before a restart: the time, in milliseconds
   */
  constructor(node: string, freshForMs: Millis, epoch: number) {
    this.#node = node
    this.#shared = new SharedHealth(freshForMs)
    this.#freshForMs = freshForMs
    this.#epoch = epoch
  }

  /** What this gateway found out of these origins; nothing of those that it knows nothing of. */
  reports(board: HealthBoard, origins: readonly string[], now: Millis): OwnReport[] {
    this.#epoch++
    this.#nodes.set(this.#node, now)
    return origins.flatMap((origin) => {
      const verdict = board.ownVerdict(origin)
      if (verdict === undefined) {
        this.#shared.withdraw(this.#node, origin)
        return []
      }
      const report = { node: this.#node, origin, isUp: verdict === 'up', epoch: this.#epoch }
      this.#shared.accept({ ...report, at: now })
      return [report]
    })
  }

  /** What another gateway said. One of an origin that is not on the board is for others. */
  accept(report: OwnReport, board: HealthBoard, at: Millis): void {
    if (report.node === this.#node || board.indexOf(report.origin) < 0) return
    this.#shared.accept({ ...report, at })
    this.#nodes.set(report.node, Math.max(at, this.#nodes.get(report.node) ?? at))
  }

  /** Puts the fleet's opinion on the board. */
  review(board: HealthBoard, now: Millis): void {
    for (const { id } of board.states()) {
      if (this.#shared.opinion(id, now) !== 'down') board.setFleet(id, null, now)
      else {
        const { up, down } = this.#shared.count(id, now)
        board.setFleet(id, `${down} of ${up + down} gateways cannot use it`, now)
      }
    }
  }

  /** Gateways that were heard lately, this one included. */
  gateways(now: Millis): number {
    for (const [node, at] of this.#nodes) {
      if (now - at > this.#freshForMs) this.#nodes.delete(node)
    }
    return this.#nodes.size
  }

  /** Forgets origins that the config no longer has. */
  keepOnly(origins: readonly string[]): void {
    this.#shared.keepOnly(new Set(origins))
  }
}

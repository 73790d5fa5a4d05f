/**
 * What several gateways think of an origin, made into one opinion. One that fails to connect where others
 * do not may itself be cut off, so "down" for all takes a majority of those that reported lately; for
 * itself, every gateway believes its own failed connections. Pure; carrying reports is the runtime's
 * business, and without reports a gateway is on its own and works.
 */
import type { Millis } from '../exchange.ts'

/** One gateway's view of one origin. */
export interface HealthReport {
  readonly node: string
  readonly origin: string
  readonly isUp: boolean
  /** When it was said, on the reader's clock. */
  readonly at: Millis
  /** Rises with every report of a node; an older one that arrives late is dropped. */
  readonly epoch: number
}

export class SharedHealth {
  readonly #byOrigin = new Map<string, Map<string, HealthReport>>()
  readonly #freshForMs: Millis
  readonly #mostNodes: number

  /** @param freshForMs how long a report counts: three times the interval of the checks */
  constructor(freshForMs: Millis, mostNodes = 256) {
    this.#freshForMs = freshForMs
    this.#mostNodes = mostNodes
  }

  accept(report: HealthReport): void {
    let reports = this.#byOrigin.get(report.origin)
    if (reports === undefined) {
      reports = new Map()
      this.#byOrigin.set(report.origin, reports)
    }
    const known = reports.get(report.node)
    if (known !== undefined && known.epoch >= report.epoch) return
    if (known === undefined && reports.size >= this.#mostNodes) return
    reports.set(report.node, report)
  }

  /**
   * The common opinion: `down` when more than half of the fresh reports say so. One report alone decides
   * nothing, two must agree.
   */
  opinion(origin: string, now: Millis): 'up' | 'down' | 'unknown' {
    const { up, down } = this.count(origin, now)
    if (up + down < 2) return 'unknown'
    return down > up ? 'down' : up > down ? 'up' : 'unknown'
  }

  /** Gateways with a fresh report. */
  count(origin: string, now: Millis): { readonly up: number; readonly down: number } {
    const reports = this.#byOrigin.get(origin)
    let up = 0
    let down = 0
    for (const [node, report] of reports ?? []) {
      if (now - report.at > this.#freshForMs) reports?.delete(node)
      else if (report.isUp) up++
      else down++
    }
    return { up, down }
  }

  /** A gateway has stopped, or no longer knows what to think. */
  withdraw(node: string, origin: string): void {
    this.#byOrigin.get(origin)?.delete(node)
  }

  /** Forgets origins that the config no longer has. */
  keepOnly(origins: ReadonlySet<string>): void {
    for (const origin of this.#byOrigin.keys()) {
      if (!origins.has(origin)) this.#byOrigin.delete(origin)
    }
  }
}

/** How many gateways check each origin; the others take their word. */
const OWNERS = 2

/**
 * Which gateways check an origin: rendezvous hashing, so that a gateway that leaves hands over only its
 * own origins.
 * @param hash any well-spread hash of a text
 */
export function isProbeOwner(
  node: string,
  nodes: readonly string[],
  origin: string,
  hash: (text: string) => number,
): boolean {
  const own = hash(`${node}\n${origin}`)
  let better = 0
  for (const other of nodes) {
    if (other === node) continue
    const score = hash(`${other}\n${origin}`)
    if (score > own || (score === own && other > node)) better++
  }
  return better < OWNERS
}

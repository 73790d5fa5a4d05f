/** The port to what a fleet counts in: one question for all limits of a request, answered as a whole. */
import type { Millis } from '../../exchange.ts'
import type { Counting } from './fleet-policy.ts'

/**
 * `charge`: with all others of the question, or none. `try`: as `charge`, but its denial stops nobody.
 * `look`: denies and charges nothing. `settle`: `cost` units more or fewer, without asking.
 */
export type TakeKind = 'charge' | 'try' | 'look' | 'settle'

/** What is asked of one limit for one key. */
export interface Take {
  readonly kind: TakeKind
  readonly counting: Counting
  /** Of the key. Holds a hash of it, never what it was made of. */
  readonly name: string
  readonly cost: number
  /** Units wanted beyond the cost, of which at most half of what is left is given. */
  readonly extra: number
  /** `calendar`: the period, milliseconds since the epoch; else 0. */
  readonly start: Millis
  readonly end: Millis
}

export interface Verdict {
  readonly reason: 'limit' | 'mitigation' | undefined
  readonly remaining: number
  readonly resetMs: Millis
  /** After a denial: until the same question would pass; Infinity when it never will. */
  readonly retryMs: Millis
  /** Of `extra`. */
  readonly granted: number
}

export interface Answer {
  /** Whether what was to be charged is charged. */
  readonly passes: boolean
  /** In the order of the question. */
  readonly verdicts: readonly Verdict[]
}

/** The store was not asked, or said nothing in time. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
  /** False when it is certain that nothing was charged. */
  readonly mayBeCharged: boolean

  constructor(mayBeCharged: boolean, message: string) {
    super(message)
    this.mayBeCharged = mayBeCharged
  }
}

export interface FleetStore {
  /** For people: "redis". */
  readonly name: string
  /** Whether a question would be sent. */
  readonly isUp: boolean
  /** Longest time until an answer or a failure. */
  readonly timeoutMs: Millis
  /** Gateway processes that share the store, this one included; the last known number while it is away. */
  readonly gateways: number
  /** Why a limit cannot be counted here; undefined when it can. Left out: all can. */
  refuses?(id: string, counting: Counting): string | undefined
  /** @throws StoreUnavailable */
  ask(takes: readonly Take[]): Promise<Answer>
  /** Called each time that the store can be asked again. */
  onUp(run: () => void): void
}

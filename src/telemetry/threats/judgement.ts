/**
 * How unusual a window of traffic is: a score from 0 to 100, made of three parts, each of which can be said in
 * words. Pure.
 */

/** What a network did on a route for a while. */
export interface Traffic {
  readonly seconds: number
  readonly requests: number
  /** Answered 4xx, refusals left out: what a client asks for in vain. */
  readonly faults: number
  /** Refused for the sake of security. */
  readonly refused: number
}

/** What is usual, averaged. */
export interface Usual {
  /** Requests a second. */
  readonly rate: number
  readonly faultShare: number
  readonly refusedShare: number
}

export interface Judgement {
  /** 0 to 100. */
  readonly score: number
  /** Each 0 to 1. */
  readonly parts: { readonly rate: number; readonly faults: number; readonly refused: number }
  readonly why: string
}

/** So many doublings of the usual rate are as unusual as can be. */
const DOUBLINGS = 5
/** A part alone makes so much of the score: a rush of good requests may be a success. */
const WEIGHTS = { rate: 0.85, faults: 0.95, refused: 1 } as const
/** Requests at which a share is believed by half. */
const HALF_BELIEVED = { faults: 10, refused: 5 } as const

/**
 * @param usual       undefined while nothing is known: then only shares count, against none
 * @param minimumRate rates below it are not compared: twice of little is still little
 */
export function judge(traffic: Traffic, usual: Usual | undefined, minimumRate: number): Judgement {
  const { seconds, requests, faults, refused } = traffic
  const rate = requests / seconds
  const faultShare = requests === 0 ? 0 : faults / requests
  const refusedShare = requests === 0 ? 0 : refused / requests
  const believed = (half: number): number => requests / (requests + half)
  const compared = Math.max(usual?.rate ?? Number.POSITIVE_INFINITY, minimumRate)
  const parts = {
    rate: clamp(Math.log2(rate / compared) / DOUBLINGS),
    faults: clamp(faultShare - (usual?.faultShare ?? 0)) * believed(HALF_BELIEVED.faults),
    refused: clamp(refusedShare - (usual?.refusedShare ?? 0)) * believed(HALF_BELIEVED.refused),
  }
  const calm =
    (1 - WEIGHTS.rate * parts.rate) *
    (1 - WEIGHTS.faults * parts.faults) *
    (1 - WEIGHTS.refused * parts.refused)
  return {
    score: Math.round(100 * (1 - calm)),
    parts,
    why: [
      `${number(rate)} requests/s${usual === undefined ? '' : `, usually ${number(usual.rate)}`}`,
      `${percent(refusedShare)} refused${usual === undefined ? '' : `, usually ${percent(usual.refusedShare)}`}`,
      `${percent(faultShare)} asked in vain${usual === undefined ? '' : `, usually ${percent(usual.faultShare)}`}`,
    ].join('; '),
  }
}

function clamp(value: number): number {
  return Number.isNaN(value) ? 0 : Math.min(1, Math.max(0, value))
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(2).replace(/\.0$/, '')
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0 && share < 0.01 ? 1 : 0)} %`
}

/** An average in which each window counts less than the one after it. */
export class Average {
  rate = 0
  faultShare = 0
  refusedShare = 0
  /** Windows that it was made of. */
  windows = 0

  /** @param weight of the new window, 0 to 1, once there are enough of them */
  learn({ seconds, requests, faults, refused }: Traffic, weight: number): void {
    this.windows++
    // At first all windows count alike.
    const share = Math.max(weight, 1 / this.windows)
    this.rate += share * (requests / seconds - this.rate)
    if (requests === 0) return
    this.faultShare += share * (faults / requests - this.faultShare)
    this.refusedShare += share * (refused / requests - this.refusedShare)
  }

  /** Windows without a request. */
  rest(windows: number, weight: number): void {
    this.rate *= (1 - weight) ** windows
  }
}

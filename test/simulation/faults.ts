/** What is wrong with the world: the truth that the gateways have to find out. */
import type { Millis } from '../../src/exchange.ts'
import type { SeededRandom, VirtualTime } from './virtual-time.ts'

export const FAULTS = [
  'dead',
  'hung',
  'slow',
  'errors',
  'cut',
  'flap',
  'probe-loss',
  'partition',
] as const
export type Fault = (typeof FAULTS)[number]

/** How a region looks from one gateway. */
interface View {
  readonly faults: Set<{ readonly fault: Fault }>
  isIll: boolean
  /** Checks fail whenever requests do. */
  isPlain: boolean
  areChecksWrong: boolean
  /** Since when all of the above is as it is. */
  since: Millis
}

export class World {
  readonly #time: VirtualTime
  /** By gateway, then by region. */
  readonly #views: View[][]

  constructor(time: VirtualTime, gateways: number, regions: number) {
    this.#time = time
    this.#views = Array.from({ length: gateways }, () =>
      Array.from({ length: regions }, () => ({
        faults: new Set(),
        isIll: false,
        isPlain: false,
        areChecksWrong: false,
        since: Number.NEGATIVE_INFINITY,
      })),
    )
  }

  /** Something breaks for a while; for one gateway only when it is a partition. */
  strike(fault: Fault, region: number, gateway: number, duration: Millis): void {
    const entry = { fault }
    const views = (fault === 'partition' ? [this.#views[gateway]] : this.#views).map(
      (row) => row?.[region] as View,
    )
    for (const view of views) {
      view.faults.add(entry)
      this.#changed(view)
    }
    this.#time.after(duration, () => {
      for (const view of views) {
        view.faults.delete(entry)
        this.#changed(view)
      }
    })
  }

  #changed(view: View): void {
    const present = new Set([...view.faults].map(({ fault }) => fault))
    const areChecksWrong = present.delete('probe-loss')
    const isIll = present.size > 0
    const isPlain = present.has('dead') || present.has('hung') || present.has('partition')
    const same =
      isIll === view.isIll && isPlain === view.isPlain && areChecksWrong === view.areChecksWrong
    if (!same) view.since = this.#time.now
    Object.assign(view, { isIll, isPlain, areChecksWrong })
  }

  view(gateway: number, region: number): Readonly<View> {
    return (this.#views[gateway] as View[])[region] as View
  }

  /** Nothing has been wrong with it, nor with its checks, since then. */
  isWellSince(gateway: number, region: number, since: Millis): boolean {
    const view = this.view(gateway, region)
    return !view.isIll && !view.areChecksWrong && view.since <= since
  }

  /** It has answered nobody, requests or checks, since then. */
  isGoneSince(gateway: number, region: number, since: Millis): boolean {
    const view = this.view(gateway, region)
    return view.isIll && view.isPlain && view.since <= since
  }

  /** What becomes of a request or a check that is sent now; the first that applies. */
  fate(gateway: number, region: number, random: SeededRandom, isCheck: boolean): Fate {
    const present = new Set([...this.view(gateway, region).faults].map(({ fault }) => fault))
    if (present.has('partition')) return 'lost'
    if (present.has('dead')) return 'refused'
    if (present.has('hung')) return 'silent'
    if (isCheck && present.has('probe-loss')) return random.next() < 0.7 ? 'silent' : 'served'
    if (present.has('flap') && Math.floor(this.#time.now / 1000) % 2 === 0) return 'refused'
    // The health page is short and made elsewhere: it knows nothing of cut bodies.
    if (present.has('cut')) return isCheck ? 'served' : 'cut'
    if (present.has('errors')) return random.next() < 0.7 ? 'error' : 'served'
    return present.has('slow') ? 'late' : 'served'
  }
}

export type Fate = 'lost' | 'refused' | 'silent' | 'cut' | 'error' | 'late' | 'served'

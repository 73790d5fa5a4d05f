/**
 * The body of a response under inspection: bytes go in as they come, are held until a window is full, are
 * shown to the rules together with the end of the window before, and come out. What leaks is cut off in
 * the window where it is found; what has left before cannot be taken back, which is the price of not
 * holding whole pages.
 */
import type { HeaderList } from '../exchange.ts'
import { bytesToString } from './bytes.ts'
import type { WafBlock } from './pass.ts'

/** How much of the last window is shown again, so that a phrase over the border is seen; longer than any. */
const OVERLAP = 512

const TEXT =
  /^(?:text\/(?!event-stream)[^;]+|application\/(?:(?!stream\+)[^;]*\+)?(?:json|xml|javascript))\s*(?:;|$)/i

/** Whether a body may be held and is text: never streams, upgrades, ranges, gRPC, encoded bodies. */
export function isInspectable(status: number, headers: HeaderList): boolean {
  if (status < 200 || status === 204 || status === 206 || status === 304) return false
  const encoding = headers.get('content-encoding')
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return false
  return TEXT.test(headers.get('content-type') ?? '')
}

export interface WindowStep {
  /** Inspected and free to go, in order. */
  readonly released: readonly Uint8Array[]
  /** Set when the response must end here. Nothing was sent yet when it comes with the first window. */
  readonly block: WafBlock | undefined
}

const NOTHING: readonly Uint8Array[] = []
const HELD: WindowStep = { released: NOTHING, block: undefined }

export class ResponseWindow {
  readonly #limit: number
  readonly #window: number
  readonly #inspect: (text: string) => WafBlock | undefined
  #held: Uint8Array[] = []
  #heldBytes = 0
  #seen = 0
  #tail = ''
  #hasReleased = false
  #isDone = false

  /**
   * @param limit bytes of the body that are inspected; the rest passes
   * @param window bytes that are held back at most, give or take a chunk
   */
  constructor(limit: number, window: number, inspect: (text: string) => WafBlock | undefined) {
    this.#limit = limit
    this.#window = window
    this.#inspect = inspect
  }

  /** True once something was released: the head is on its way and a block can only cut. */
  get hasReleased(): boolean {
    return this.#hasReleased
  }

  /** A body that is in memory: seen at once, as far as the limit. */
  whole(body: Uint8Array): WafBlock | undefined {
    return body.length === 0
      ? undefined
      : this.#inspect(bytesToString(body, 0, Math.min(body.length, this.#limit)))
  }

  push(chunk: Uint8Array): WindowStep {
    if (this.#isDone) return { released: [chunk], block: undefined }
    this.#held.push(chunk)
    this.#heldBytes += chunk.length
    this.#seen += chunk.length
    if (this.#heldBytes < this.#window && this.#seen < this.#limit) return HELD
    return this.#look()
  }

  /** The body is complete. */
  end(): WindowStep {
    return this.#isDone || this.#held.length === 0 ? HELD : this.#look()
  }

  #look(): WindowStep {
    let text = this.#tail
    for (const chunk of this.#held) text += bytesToString(chunk)
    const block = this.#inspect(text)
    const released = this.#held
    this.#held = []
    this.#heldBytes = 0
    if (block !== undefined) {
      this.#isDone = true
      return { released: NOTHING, block }
    }
    this.#tail = text.slice(-OVERLAP)
    this.#hasReleased = true
    if (this.#seen >= this.#limit) this.#isDone = true
    return { released, block: undefined }
  }
}

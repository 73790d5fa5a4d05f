/**
 * `/live`: server-sent events, one frame a second, for all readers the same. It asks the gateway only while
 * somebody reads; a reader that does not keep up is cut off rather than waited for.
 */
import * as v from 'valibot'
import type { Millis } from '../exchange.ts'
import { type LiveView, liveFrame } from './live-view.ts'
import { adminProblem } from './problem.ts'
import { type AdminRoute, defineRoute } from './route.ts'

const EVERY_MS: Millis = 1000
const MAX_READERS = 16
/** Frames that wait for a reader. */
const QUEUE = 8
/** A reader connects anew after so long: its token is then looked at again. */
const LONGEST_MS: Millis = 900_000

interface Reader {
  readonly controller: ReadableStreamDefaultController<Uint8Array>
  readonly since: Millis
  /** Frames that it still wants. */
  left: number
}

export class LiveHub {
  readonly #view: LiveView
  readonly #readers = new Set<Reader>()
  readonly #encoder = new TextEncoder()
  #isTicking = false
  #lastAt: Millis = 0
  #frames = 0

  constructor(view: LiveView) {
    this.#view = view
  }

  get readers(): number {
    return this.#readers.size
  }

  /**
   * @param frames how many the reader wants
   * @returns undefined when there are as many readers as there may be
   */
  subscribe(frames = Number.POSITIVE_INFINITY): ReadableStream<Uint8Array> | undefined {
    if (this.#readers.size >= MAX_READERS) return undefined
    let reader: Reader | undefined
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          reader = { controller, since: this.#view.clock.monotonic(), left: frames }
          this.#readers.add(reader)
          this.#view.onSubscribers?.(this.#readers.size)
          // Something goes out at once, so that the reader knows that it is connected.
          controller.enqueue(this.#encoder.encode(': live\n\n'))
          if (!this.#isTicking) {
            this.#isTicking = true
            this.#lastAt = this.#view.clock.monotonic()
            void this.#tick()
          }
        },
        cancel: () => {
          if (reader !== undefined) this.#leave(reader)
        },
      },
      { highWaterMark: QUEUE },
    )
  }

  #leave(reader: Reader): void {
    if (this.#readers.delete(reader)) this.#view.onSubscribers?.(this.#readers.size)
  }

  async #tick(): Promise<void> {
    if (this.#readers.size === 0) {
      this.#isTicking = false
      return
    }
    const { clock } = this.#view
    const began = clock.monotonic()
    const text = await this.#message(began)
    const now = clock.monotonic()
    for (const reader of [...this.#readers]) this.#send(reader, text, now)
    clock.after(Math.max(0, began + EVERY_MS - now), () => void this.#tick())
  }

  async #message(now: Millis): Promise<string> {
    try {
      const seconds = (now - this.#lastAt) / 1000
      const frame = liveFrame(await this.#view.take(), this.#view.clock.now(), seconds)
      if (frame === undefined) return 'event: fault\ndata: {"title":"No worker answers."}\n\n'
      this.#lastAt = now
      return `event: frame\nid: ${++this.#frames}\ndata: ${JSON.stringify(frame)}\n\n`
    } catch {
      return 'event: fault\ndata: {"title":"The gateway does not answer."}\n\n'
    }
  }

  #send(reader: Reader, text: string, now: Millis): void {
    const { controller, since } = reader
    if (now - since > LONGEST_MS) {
      controller.close()
      this.#leave(reader)
    } else if ((controller.desiredSize ?? 0) <= 0) {
      controller.error(new Error('the reader does not keep up'))
      this.#leave(reader)
      this.#view.onDropped?.()
    } else {
      controller.enqueue(this.#encoder.encode(text))
      if (--reader.left > 0) return
      controller.close()
      this.#leave(reader)
    }
  }
}

/** One for each gateway, made with its first reader. */
const hubs = new WeakMap<LiveView, LiveHub>()

function hubOf(view: LiveView): LiveHub {
  let hub = hubs.get(view)
  if (hub === undefined) {
    hub = new LiveHub(view)
    hubs.set(view, hub)
  }
  return hub
}

export const LIVE_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/live',
    summary:
      'Server-sent events, one a second: rates, latency, outcomes, flows, events; ends after `frames`.',
    level: 'read',
    mediaType: 'text/event-stream',
    query: v.object({
      frames: v.optional(
        v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1), v.maxValue(100_000)),
      ),
    }),
    answer: { description: 'Events `frame`, counts of the second before; `fault` when none came.' },
    problems: { 503: 'Too many readers watch already.' },
    missing: ({ live }) => (live === undefined ? 'There is nothing to watch here.' : undefined),
    handle: (c, { query }, { view }) => {
      // Proxies that buffer would hold the frames back.
      const headers = {
        'content-type': 'text/event-stream; charset=utf-8',
        'x-accel-buffering': 'no',
      }
      if (view.live === undefined || c.req.method === 'HEAD') return c.body(null, 200, headers)
      const stream = hubOf(view.live).subscribe(query.frames)
      if (stream === undefined) {
        return adminProblem(c, 503, 'Too many readers watch already.', { 'retry-after': '10' })
      }
      return c.body(stream, 200, headers)
    },
  }),
]

/** A part of a body on its way: what lies before and behind it is read and dropped. */
import type { ByteSink, ByteStream } from '../../exchange.ts'

/** Bytes [begin, end) of a body that is known to reach so far. */
export function trimmed(
  body: Uint8Array | ByteStream,
  begin: number,
  end: number,
): Uint8Array | ByteStream {
  if ('byteLength' in body) return body.subarray(begin, end)
  if (begin === 0 && body.length === end) return body
  return new TrimmedStream(body, begin, end)
}

class TrimmedStream implements ByteStream {
  readonly length: number
  readonly #body: ByteStream
  readonly #begin: number
  readonly #end: number
  #at = 0

  constructor(body: ByteStream, begin: number, end: number) {
    this.#body = body
    this.#begin = begin
    this.#end = end
    this.length = end - begin
  }

  pipe(sink: ByteSink): void {
    let isDone = false
    this.#body.pipe({
      write: (chunk) => {
        const from = Math.max(0, this.#begin - this.#at)
        const to = Math.min(chunk.byteLength, this.#end - this.#at)
        this.#at += chunk.byteLength
        const goesOn = to > from ? sink.write(chunk.subarray(from, to)) : true
        if (!isDone && this.#at >= this.#end) {
          isDone = true
          sink.end()
          // Nothing more goes to the sink; the rest is for the store.
          return true
        }
        return goesOn
      },
      end: () => {
        if (!isDone) sink.fail(new Error('the slice is short'))
      },
      fail: (error) => {
        if (!isDone) sink.fail(error)
      },
    })
  }

  resume(): void {
    this.#body.resume()
  }

  cancel(reason?: Error): void {
    this.#body.cancel(reason)
  }
}

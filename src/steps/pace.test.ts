import { describe, expect, it } from 'vitest'
import type { ByteSink, ByteStream } from '../exchange.ts'
import type { BandwidthMeter } from '../limits/bandwidth.ts'
import { VirtualClock } from '../upstream/scripted.fixture.ts'
import { PacedStream } from './pace.ts'

/** Half a millisecond a byte, a burst of none. */
function meter(clock: VirtualClock): BandwidthMeter {
  let paid = 0
  return {
    id: 'm',
    piece: 4,
    fits: () => false,
    take: (bytes) => {
      const wait = Math.max(0, paid - clock.monotonic())
      paid = Math.max(paid, clock.monotonic()) + bytes / 2
      return wait
    },
  }
}

describe('a paced stream', () => {
  it('sends each byte once and in order, whatever the source does when it is resumed', async () => {
    const clock = new VirtualClock()
    const pieces = ['abcdefgh', '', 'ij', '', '', 'klmnopqrst']
    let source: ByteSink | undefined
    let resumed = 0
    const stream: ByteStream = {
      length: null,
      pipe: (sink) => {
        source = sink
        sink.write(new TextEncoder().encode('start'))
      },
      // Flushes with nothing each time, as HTTP parsers do.
      resume: () => {
        if (++resumed > 100) throw new Error('resumed again and again')
        source?.write(new Uint8Array(0))
        while (pieces.length > 0) {
          if (source?.write(new TextEncoder().encode(pieces.shift())) === false) break
        }
        if (pieces.length === 0) source?.write(new Uint8Array(0))
      },
      cancel: () => {},
    }
    let text = ''
    let ended = false
    const paced = new PacedStream(stream, [meter(clock)], clock, () => {})
    paced.pipe({
      write: (chunk) => {
        text += new TextDecoder().decode(chunk)
        return true
      },
      end: () => {
        ended = true
      },
      fail: (error) => {
        throw error
      },
    })
    expect(text).toBe('star')
    await clock.pass(60)
    source?.end()
    expect([text, ended]).toEqual(['startabcdefghijklmnopqrst', true])
    expect(resumed).toBeLessThan(20)
  })
})

import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { exchangeOf, telemetryConfig } from './exchange.fixture.ts'
import { Mask } from './mask.ts'
import { RequestRecorder } from './recorder.ts'

const mask = new Mask(telemetryConfig().mask, new Uint8Array(16))

describe('recorded requests', () => {
  it('are the newest, oldest first, never more than there is room for', () => {
    const recorder = new RequestRecorder(3)
    for (let i = 1; i <= 5; i++) recorder.record(exchangeOf({ id: String(i) }), 200, mask)
    expect(recorder.size).toBe(3)
    expect(recorder.newest(10).map(({ id }) => id)).toEqual(['3', '4', '5'])
    expect(recorder.newest(2).map(({ id }) => id)).toEqual(['4', '5'])
    expect(recorder.newest(0)).toEqual([])
  })

  it('hold no secret, no whole address and nothing of endless length', () => {
    const recorder = new RequestRecorder(2)
    const headers = [
      ...['Authorization', 'Bearer s3cret', 'Cookie', 'session=s3cret', 'X-Api-Key', 's3cret'],
      ...['Referer', 'https://u:s3cret@a/?token=s3cret', 'X-Long', 'x'.repeat(100_000)],
      ...Array.from({ length: 400 }, (_, i) => `x-${i}`),
    ]
    const x = exchangeOf({
      query: `password=s3cret&q=1&jwt=eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.s3cret`,
      headers: new HeaderList(headers),
    })
    recorder.record(x, 200, mask)
    const text = JSON.stringify(recorder.newest(1))
    expect(text).not.toContain('s3cret')
    expect(text).not.toContain('203.0.113.77')
    expect(text).toContain('203.0.113.0')
    expect(text).toContain('q=1')
    expect(text.length).toBeLessThan(8000)
  })

  it('are none that the front refused', () => {
    const recorder = new RequestRecorder(2)
    recorder.record(exchangeOf({ refusal: 'bad-host' }), 400, mask)
    expect(recorder.size).toBe(0)
  })
})

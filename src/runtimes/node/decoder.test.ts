import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { nodeDecoder } from './decoder.ts'

const TEXT = Buffer.from('name=value&other=thing;'.repeat(40))
const encoded: readonly [string, Uint8Array][] = [
  ['gzip', gzipSync(TEXT)],
  ['x-gzip', gzipSync(TEXT)],
  ['gzip', Buffer.concat([gzipSync(TEXT.subarray(0, 100)), gzipSync(TEXT.subarray(100))])],
  ['deflate', deflateSync(TEXT)],
  ['deflate', deflateRawSync(TEXT)],
  ['br', brotliCompressSync(TEXT)],
]

describe('content codings', () => {
  it.each(encoded)('%s comes off', async (coding, bytes) => {
    const decoded = await nodeDecoder.decode(coding, bytes, 10_000)
    expect(Buffer.from(decoded?.bytes ?? [])).toEqual(TEXT)
    expect(decoded).toMatchObject({ end: 'complete', consumed: bytes.length })
  })

  it.each(encoded)('%s that ends early gives what there is', async (coding, bytes) => {
    const decoded = await nodeDecoder.decode(coding, bytes.subarray(0, bytes.length - 3), 10_000)
    expect(decoded?.end).toBe('cut')
    const { length } = decoded?.bytes ?? []
    expect(Buffer.from(decoded?.bytes ?? [])).toEqual(TEXT.subarray(0, length))
  })

  it.each(['gzip', 'deflate', 'br'])('%s that is something else is broken', async (coding) => {
    const decoded = await nodeDecoder.decode(
      coding,
      Buffer.from('<html> no such thing </html>'.repeat(9)),
      100,
    )
    expect(decoded?.end).toBe('broken')
  })

  it('stops at what is wanted, and knows what it took', async () => {
    const bomb = gzipSync(Buffer.alloc(64 << 20))
    const start = process.memoryUsage().arrayBuffers
    const decoded = await nodeDecoder.decode('gzip', bomb, 128 * 1024)
    expect(decoded).toMatchObject({ end: 'full' })
    expect(decoded?.bytes.length).toBe(128 * 1024)
    expect(decoded?.consumed).toBeLessThanOrEqual(2048)
    expect(process.memoryUsage().arrayBuffers - start).toBeLessThan(8 << 20)
  })

  it('knows no others', () => {
    expect(nodeDecoder.decode('gzip, br', TEXT, 1)).toBeUndefined()
    expect(nodeDecoder.decode('', TEXT, 1)).toBeUndefined()
  })
})

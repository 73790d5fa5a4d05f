/** Request bodies under inspection over sockets: compressed, invalid, and as the origin gets them. */
import { createHash } from 'node:crypto'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { proxyTo, world } from '../harness/world.ts'

const FORM = 'application/x-www-form-urlencoded'
const ATTACK = Buffer.from("user=x&pass=admin'+or+1=1--")
const FINE = Buffer.from('user=x&comment=the+student+union+is+open')

const CODINGS: readonly [string, (bytes: Buffer) => Buffer][] = [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
]

describe('compressed request bodies', () => {
  it('are inspected without their coding, and forwarded as they came', async () => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      waf: { rulesets: ['basic'], bodies: { invalid: 'block' } },
    })
    const post = async (body: Buffer, coding: string, type = FORM) => {
      const headers = { 'content-type': type, 'content-encoding': coding }
      const response = await fetch(gateway.url, {
        method: 'POST',
        body: new Uint8Array(body),
        headers,
      })
      await response.arrayBuffer()
      return response.status
    }
    for (const [coding, encode] of CODINGS) {
      expect([coding, await post(encode(ATTACK), coding)]).toEqual([coding, 403])
      expect([coding, await post(encode(FINE), coding)]).toEqual([coding, 200])
      const hit = origin.hits.at(-1)
      expect(hit?.sha256).toBe(createHash('sha256').update(encode(FINE)).digest('hex'))
      expect(hit?.headers['content-encoding']).toBe(coding)
      expect([coding, await post(encode(FINE).subarray(0, -4), coding)]).toEqual([coding, 400])
      expect([coding, await post(FINE, coding)]).toEqual([coding, 400])
    }
    expect(origin.hits.length).toBe(CODINGS.length)
    expect(await post(gzipSync(Buffer.alloc(20 << 20, 'a=1&')), 'gzip')).toBe(400)
    expect(await post(FINE, 'snappy')).toBe(400)
    expect(await post(FINE, 'identity')).toBe(200)
    expect(await post(gzipSync(Buffer.from('{"a":1')), 'gzip', 'application/json')).toBe(400)
    expect(origin.hits.length).toBe(CODINGS.length + 1)
    const lines = await gateway.records(16)
    expect(lines.filter(({ outcome }) => outcome === 'blocked')).toHaveLength(12)
  })
})

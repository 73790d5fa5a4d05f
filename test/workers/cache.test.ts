/** What isolates keep in the Cache API, and what of it another isolate may believe. */
import { beforeEach, describe, expect, it } from 'vitest'
import { origins } from '../suite/harness.ts'
import { isolate, unique } from './isolate.fixture.ts'

const routes = [{ id: 'site', cache: {} }]

/** Asks an isolate that has nothing in memory. */
async function fresh(path: string, init: RequestInit = {}) {
  const one = isolate({ routes })
  const response = await one.ask(path, init)
  const body = await response.text().catch(() => undefined)
  await one.settle()
  return {
    status: response.status,
    headers: response.headers,
    body,
    cache: response.headers.get('cache-status') ?? '',
  }
}

beforeEach(() => origins.reset())

describe('what another isolate has stored', () => {
  it('answers HEAD, ranges and conditions', async () => {
    const path = `/cached/${unique('page')}`
    const { body = '' } = await fresh(path)
    const head = await fresh(path, { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, body: '', cache: expect.stringContaining('hit') })
    const range = await fresh(path, { headers: { range: 'bytes=0-3' } })
    expect(range).toMatchObject({ status: 206, body: 'made' })
    expect(range.headers.get('content-range')).toBe(`bytes 0-3/${body.length}`)
    const beyond = await fresh(path, { headers: { range: 'bytes=9000-' } })
    expect(beyond.status).toBe(416)
    const since = head.headers.get('date') ?? ''
    const condition = await fresh(path, { headers: { 'if-modified-since': since } })
    expect(condition).toMatchObject({ status: 304, body: '' })
    expect(await origins.hits(path)).toBe(1)
  })

  it('stands in for origins that fail', async () => {
    const path = `/stale/${unique('page')}`
    expect((await fresh(path)).status).toBe(200)
    for (const region of ['eu', 'us', 'ap'] as const) await origins.become(region, 'failing')
    const stale = await fresh(path)
    expect(stale).toMatchObject({ status: 200, body: 'stale' })
    expect(stale.cache).toContain('stale-if-error')
  })

  it('is gone once an unsafe request has changed it', async () => {
    const path = `/cached/${unique('page')}`
    const { body } = await fresh(path)
    expect((await fresh(path)).body).toBe(body)
    expect((await fresh(path, { method: 'POST', body: 'change' })).status).toBe(200)
    const after = await fresh(path)
    expect(after.cache).toContain('fwd=uri-miss')
    expect(after.body).not.toBe(body)
  })
})

describe('what is not stored', () => {
  it.each(['/cut-known', '/cut-chunked'])('a body that broke off: %s', async (page) => {
    const path = `${page}/${unique('page')}`
    for (let i = 1; i <= 2; i++) {
      const { body } = await fresh(path)
      // The client sees that it was cut, or nothing of it.
      expect(body?.length ?? 0).toBe(0)
      expect(await origins.hits(path)).toBe(i)
    }
  })

  it.each(['/large', '/large-chunked'])('more than an isolate has room for: %s', async (page) => {
    const path = `${page}/${unique('page')}`
    for (let i = 1; i <= 2; i++) {
      const { status, body } = await fresh(path)
      expect([status, body?.length]).toEqual([200, 5 * 1024 * 1024])
      expect(await origins.hits(path)).toBe(i)
    }
  })
})

/** Ranges from what is stored, partial responses, If-Range (RFC 9110 §14, RFC 9111 §3.3, §3.4). */
import { describe, expect, it } from 'vitest'
import { type Fields, reply, World } from './world.fixture.ts'

const FRESH = { 'Cache-Control': 'max-age=60' }

describe('from a whole response', () => {
  it.each([
    { range: 'bytes=0-1', status: 206, text: '01', contentRange: 'bytes 0-1/10' },
    { range: 'bytes=8-', status: 206, text: '89', contentRange: 'bytes 8-9/10' },
    { range: 'bytes=-1', status: 206, text: '9', contentRange: 'bytes 9-9/10' },
    { range: 'bytes=10-', status: 416, text: '', contentRange: 'bytes */10' },
    { range: 'bytes=5-2', status: 200, text: '0123456789' },
    { range: 'bytes=0-5,3-8', status: 200, text: '0123456789' },
    { range: `bytes=${'0-0,'.repeat(50)}`, status: 200, text: '0123456789' },
    { range: 'pages=1', status: 200, text: '0123456789' },
  ])('$range', async ({ range, status, text, contentRange }) => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, 'Content-Length': '10', A: '1' }, '0123456789')
    await world.ask('/')
    const answer = await world.ask('/', { headers: { Range: range } })
    expect(answer).toMatchObject({ status, text })
    expect(answer.headers.get('content-range')).toBe(contentRange)
    expect(answer.headers.get('content-length')).toBe(String(text.length))
    expect(answer.headers.get('a')).toBe('1')
    expect(world.asked).toHaveLength(1)
  })

  it('several at once', async () => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, 'Content-Type': 'text/x' }, '0123456789')
    await world.ask('/')
    const answer = await world.ask('/', { headers: { Range: 'bytes=0-1, 8-9' } })
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(
      answer.headers.get('content-type') ?? '',
    )?.[1]
    expect(answer.text).toBe(
      `${['0-1', '8-9']
        .map(
          (span) =>
            `\r\n--${boundary}\r\nContent-Type: text/x\r\nContent-Range: bytes ${span}/10\r\n\r\n${span.replace('-', '')}`,
        )
        .join('')}\r\n--${boundary}--\r\n`,
    )
    expect(answer.headers.all('content-type')).toHaveLength(1)
    expect(answer.headers.get('content-length')).toBe(String(answer.text.length))
  })

  it.each([
    { ifRange: '"a"', status: 206 },
    { ifRange: '"b"', status: 200 },
    { ifRange: 'W/"a"', status: 200 },
    { ifRange: 'LM', status: 206 },
    { ifRange: 'Sun, 06 Nov 1994 08:49:37 GMT', status: 200 },
  ])('If-Range $ifRange', async ({ ifRange, status }) => {
    const world = new World()
    const lastModified = world.date(-1000)
    world.origin = () =>
      reply(200, { ...FRESH, ETag: '"a"', 'Last-Modified': lastModified }, '0123456789')
    await world.ask('/')
    const value = ifRange === 'LM' ? lastModified : ifRange
    const headers = { Range: 'bytes=0-1', 'If-Range': value }
    expect((await world.ask('/', { headers })).status).toBe(status)
  })

  it('of a stale response after its validation', async () => {
    const world = new World()
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1', ETag: '"a"' }, '0123456789')
    await world.ask('/')
    world.clock.advance(2000)
    world.origin = () => reply(304, { ...FRESH, ETag: '"a"' }, null)
    const answer = await world.ask('/', { headers: { Range: 'bytes=2-3' } })
    expect(answer).toMatchObject({ status: 206, text: '23', outcome: 'revalidated' })
    expect(world.lastAsked().has('range')).toBe(false)
  })
})

describe('partial responses', () => {
  const part = (fields: Fields, text: string) => () => reply(206, { ...FRESH, ...fields }, text)

  it('answer what lies inside them', async () => {
    const world = new World()
    world.origin = part({ 'Content-Range': 'bytes 5-9/10' }, '56789')
    await world.ask('/', { headers: { Range: 'bytes=-5' } })
    expect(world.lastAsked().get('range')).toBe('bytes=-5')
    for (const [range, text] of [
      ['bytes=-5', '56789'],
      ['bytes=6-7', '67'],
      ['bytes=8-', '89'],
    ]) {
      const answer = await world.ask('/', { headers: { Range: range! } })
      expect(answer).toMatchObject({ status: 206, text, outcome: 'hit' })
    }
    expect(world.asked).toHaveLength(1)
    await world.ask('/', { headers: { Range: 'bytes=4-6' } })
    expect(world.asked).toHaveLength(2)
  })

  it.each([
    { name: 'contradict themselves', fields: { 'Content-Range': 'bytes 4-9/10' } },
    { name: 'have no Content-Range', fields: {} },
    { name: 'have no total', fields: { 'Content-Range': 'bytes 5-9/*' } },
    {
      name: 'are not explicitly fresh',
      fields: { 'Content-Range': 'bytes 5-9/10', 'Cache-Control': 'public' },
    },
  ])('are not kept when they $name', async ({ fields }) => {
    const world = new World()
    world.origin = part(fields, '56789')
    await world.ask('/', { headers: { Range: 'bytes=-5' } })
    await world.ask('/', { headers: { Range: 'bytes=-5' } })
    expect(world.asked).toHaveLength(2)
  })

  it('are completed under a strong validator', async () => {
    const world = new World()
    world.origin = part({ 'Content-Range': 'bytes 0-5/10', ETag: '"a"' }, '012345')
    await world.ask('/', { headers: { Range: 'bytes=0-5' } })
    world.origin = part({ 'Content-Range': 'bytes 6-9/10', ETag: '"a"' }, '6789')
    const whole = await world.ask('/')
    expect(world.lastAsked().get('range')).toBe('bytes=6-')
    expect(world.lastAsked().get('if-range')).toBe('"a"')
    expect(whole).toMatchObject({ status: 200, text: '0123456789' })
    expect(whole.headers.has('content-range')).toBe(false)
    expect(whole.headers.get('content-length')).toBe('10')
    expect(await world.ask('/')).toMatchObject({ outcome: 'hit', text: '0123456789' })
  })

  it.each([
    { name: 'another tag', etag: '"b"' },
    { name: 'a weak tag', etag: 'W/"a"' },
  ])('are thrown away when the rest has $name', async ({ etag }) => {
    const world = new World()
    world.origin = part({ 'Content-Range': 'bytes 0-5/10', ETag: '"a"' }, '012345')
    await world.ask('/', { headers: { Range: 'bytes=0-5' } })
    world.origin = (o) =>
      o.headers.includes('Range')
        ? reply(206, { ...FRESH, ETag: etag, 'Content-Range': 'bytes 6-9/10' }, 'WXYZ')
        : reply(200, FRESH, 'ABCDEFWXYZ')
    expect((await world.ask('/')).text).toBe('ABCDEFWXYZ')
  })

  it('never stand in for the whole', async () => {
    const world = new World()
    world.origin = part({ 'Content-Range': 'bytes 8-9/10' }, '89')
    await world.ask('/', { headers: { Range: 'bytes=8-9' } })
    world.origin = () => reply(200, FRESH, '0123456789')
    expect((await world.ask('/')).text).toBe('0123456789')
  })
})

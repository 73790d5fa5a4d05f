/** Ranges of large objects: what the origin is asked, what is kept, and what is not sliced. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ByteStream, HeaderList, type Reply } from '../exchange.ts'
import type { ForwardOptions } from './core.ts'
import { Drain, FedStream, type Fields, reply, settle, World } from './world.fixture.ts'

const BODY = Array.from({ length: 1000 }, (_, i) => String(i).padStart(5, '0')).join('')
const FIELDS = { 'Cache-Control': 'max-age=60', ETag: '"a"' }

function rangeOf(options: ForwardOptions): string | undefined {
  return new HeaderList(options.headers).get('range')
}

/** An origin that knows ranges. */
function ranged(body = BODY, fields: Fields = FIELDS) {
  return (options: ForwardOptions): Reply => {
    const range = rangeOf(options)
    const asked = /^bytes=(\d+)-(\d*)$/.exec(range ?? '')
    const ifRange = new HeaderList(options.headers).get('if-range')
    if (asked === null || (ifRange !== undefined && ifRange !== fields.ETag)) {
      return reply(200, fields, body)
    }
    const first = Number(asked[1])
    if (first >= body.length) return reply(416, { 'Content-Range': `bytes */${body.length}` })
    const end = asked[2] === '' ? Number.POSITIVE_INFINITY : Number(asked[2])
    const last = Math.min(end, body.length - 1)
    return reply(
      206,
      { ...fields, 'Content-Range': `bytes ${first}-${last}/${body.length}` },
      body.slice(first, last + 1),
    )
  }
}

function world(origin = ranged()): World {
  const made = new World({ route: { range: { slice: '1KiB' } } })
  made.origin = origin
  return made
}

async function read({ body }: Reply): Promise<Drain> {
  const sink = new Drain()
  if (body === null) sink.end()
  else if ('byteLength' in body) {
    sink.write(body)
    sink.end()
  } else body.pipe(sink)
  for (let i = 0; i < 20; i++) await settle()
  return sink
}

async function get(w: World, range: string, more: Fields = {}) {
  const answer = await w.ask('/film', { headers: { Range: range, ...more } })
  return { answer, sink: await read(answer.reply) }
}

describe('slices', () => {
  it.each([
    { range: 'bytes=100-299', text: BODY.slice(100, 300), asked: ['bytes=0-1023'] },
    {
      range: 'bytes=1000-2100',
      text: BODY.slice(1000, 2101),
      asked: ['bytes=0-1023', 'bytes=1024-2047', 'bytes=2048-3071'],
    },
    { range: 'bytes=4900-', text: BODY.slice(4900), asked: ['bytes=4096-5119'] },
    { range: 'bytes=4990-9999', text: BODY.slice(4990), asked: ['bytes=4096-5119'] },
    { range: 'bytes=1024-2047', text: BODY.slice(1024, 2048), asked: ['bytes=1024-2047'] },
  ])('$range', async ({ range, text, asked }) => {
    const w = world()
    const { answer, sink } = await get(w, range)
    const first = BODY.indexOf(text)
    expect(answer.status).toBe(206)
    expect(sink).toMatchObject({ text, ended: true })
    expect(answer.headers.all('content-range')).toEqual([
      `bytes ${first}-${first + text.length - 1}/5000`,
    ])
    expect(answer.headers.all('content-length')).toEqual([String(text.length)])
    expect(w.asked.map(rangeOf)).toEqual(asked)
    const again = await get(w, range)
    expect(again.sink.text).toBe(text)
    expect(again.answer.outcome).toBe('hit')
    expect(w.asked).toHaveLength(asked.length)
  })

  it('any range of any body is what it would be without them', () =>
    fc.assert(
      fc.asyncProperty(fc.nat(5200), fc.nat(3000), fc.nat(60), async (first, more, skip) => {
        const w = world()
        await get(w, `bytes=${skip * 80}-${skip * 80 + 500}`)
        const { answer, sink } = await get(w, `bytes=${first}-${first + more + 64}`)
        if (first >= BODY.length) expect(answer.status).toBe(416)
        else expect(sink.text).toBe(BODY.slice(first, first + more + 65))
      }),
      { numRuns: 60 },
    ))

  it('later ones are asked for under the tag of the first; another version cuts the reply', async () => {
    const w = world()
    w.origin = (options) =>
      w.asked.length === 1
        ? ranged()(options)
        : ranged('x'.repeat(5000), { ...FIELDS, ETag: '"b"' })(options)
    const { sink } = await get(w, 'bytes=0-2000')
    expect(new HeaderList(w.asked[1]!.headers).get('if-range')).toBe('"a"')
    expect(sink).toMatchObject({ text: BODY.slice(0, 1024), ended: false })
    expect(sink.failed).toBeDefined()
  })

  it('one origin request for a slice that many want', async () => {
    const w = world()
    const stream = new FedStream(1024)
    w.origin = () => reply(206, { ...FIELDS, 'Content-Range': 'bytes 0-1023/5000' }, stream)
    const asked = await Promise.all(
      ['bytes=0-499', 'bytes=500-999', 'bytes=0-1023'].map((Range) =>
        w.ask('/film', { headers: { Range } }),
      ),
    )
    const sinks = asked.map(({ reply: { body } }) => {
      const sink = new Drain()
      ;(body as ByteStream).pipe(sink)
      return sink
    })
    stream.write(BODY.slice(0, 600))
    expect(sinks[0]).toMatchObject({ ended: true })
    stream.write(BODY.slice(600, 1024))
    stream.sink?.end()
    expect(sinks.map(({ text }) => text)).toEqual([
      BODY.slice(0, 500),
      BODY.slice(500, 1000),
      BODY.slice(0, 1024),
    ])
    expect(w.asked).toHaveLength(1)
  })

  it('go with a purge of the URL', async () => {
    const w = world()
    await get(w, 'bytes=0-2000')
    w.cache.purge({ mode: 'hard', urls: ['https://example.com/film'] })
    w.origin = ranged('y'.repeat(5000))
    expect((await get(w, 'bytes=0-2000')).sink.text).toBe('y'.repeat(2001))
  })

  it.each<{ name: string; range?: string; fields?: Fields; more?: Fields; tries?: number }>([
    { name: 'a range too short for a slice', range: 'bytes=0-9', tries: 0 },
    { name: 'a suffix', range: 'bytes=-100', tries: 0 },
    { name: 'several ranges', range: 'bytes=0-499,1000-1499', tries: 0 },
    { name: 'what may not be stored', fields: { ...FIELDS, 'Cache-Control': 'no-store' } },
    { name: 'what has credentials', more: { Authorization: 'x' }, tries: 0 },
    { name: 'what has only a weak tag', fields: { ...FIELDS, ETag: 'W/"a"' } },
  ])('not for $name', async ({ range = 'bytes=0-2000', fields = FIELDS, more = {}, tries = 1 }) => {
    const w = world(ranged(BODY, fields))
    await get(w, range, more)
    expect(w.asked.map(rangeOf)).toEqual([...(tries === 1 ? ['bytes=0-1023'] : []), range])
  })

  it('what could not be sliced is not tried again for a while', async () => {
    const w = world(ranged(BODY, { ...FIELDS, 'Cache-Control': 'no-store' }))
    await get(w, 'bytes=0-2000')
    await get(w, 'bytes=100-2000')
    expect(w.asked.map(rangeOf)).toEqual(['bytes=0-1023', 'bytes=0-2000', 'bytes=100-2000'])
  })

  it('an origin without ranges sends the whole, which is kept as the whole', async () => {
    const w = world(() => reply(200, FIELDS, BODY))
    const { answer, sink } = await get(w, 'bytes=2000-3999')
    expect([answer.status, sink.text]).toEqual([200, BODY])
    const next = await get(w, 'bytes=2000-3999')
    expect([next.answer.status, next.sink.text]).toEqual([206, BODY.slice(2000, 4000)])
    expect(w.asked).toHaveLength(1)
  })

  it.each([
    { ifRange: '"a"', status: 206, text: BODY.slice(0, 2001) },
    { ifRange: '"old"', status: 200, text: BODY },
  ])('If-Range $ifRange', async ({ ifRange, status, text }) => {
    const { answer, sink } = await get(world(), 'bytes=0-2000', { 'If-Range': ifRange })
    expect([answer.status, sink.text]).toEqual([status, text])
  })
})

/** Response bodies under inspection, through a gateway in process and over sockets. */
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { ByteSink, ByteStream } from '../../src/exchange.ts'
import type { Upstream, UpstreamReply } from '../../src/ports.ts'
import { WebGateway } from '../../src/runtimes/web/instance.ts'
import { serve } from '../../src/runtimes/web/serve.ts'
import { InspectedStream } from '../../src/waf/inspected-stream.ts'
import type { WafBlock } from '../../src/waf/pass.ts'
import { ResponseWindow } from '../../src/waf/response-window.ts'
import { until } from '../harness/wait.ts'
import { proxyTo, world } from '../harness/world.ts'

const encoder = new TextEncoder()
const bytes = (text: string) => encoder.encode(text)
const LEAK = 'Traceback (most recent call last):\n  File "app.py", line 3'
const HTML = ['content-type', 'text/html']
const BLOCK: WafBlock = { kind: 'block', status: 403, rule: 'r', ruleset: 's' }

/** A body that a test feeds by hand. */
class Fed implements ByteStream {
  readonly length = null
  sink: ByteSink | undefined
  resumed = 0
  cancelled = 0
  pipe(sink: ByteSink): void {
    this.sink = sink
  }
  resume(): void {
    this.resumed++
  }
  cancel(): void {
    this.cancelled++
  }
  write(text: string): boolean | undefined {
    return this.sink?.write(bytes(text))
  }
}

/** A sink that remembers, and is full after each write when told so. */
function reader() {
  const seen = { text: '', end: '', isFull: false }
  const sink: ByteSink = {
    write: (chunk) => {
      seen.text += new TextDecoder().decode(chunk)
      return !seen.isFull
    },
    end: (trailers) => {
      seen.end = `end ${trailers?.join() ?? ''}`
    },
    fail: (error) => {
      seen.end = error.name
    },
  }
  return { seen, sink }
}

function inspected(window = 8, limit = 1000) {
  const source = new Fed()
  const late: WafBlock[] = []
  const stream = new InspectedStream(
    source,
    new ResponseWindow(limit, window, (text) => (text.includes('bad') ? BLOCK : undefined)),
    { cutShort: (block) => late.push(block) },
  )
  return { source, stream, late, first: stream.begin() }
}

describe('a stream under inspection', () => {
  it('waits for the first window, then holds its source until somebody reads', async () => {
    const { source, stream, first } = inspected()
    expect(source.write('1234')).toBe(true)
    expect(first).toBeInstanceOf(Promise)
    expect(source.write('5678')).toBe(false)
    expect(await first).toBeUndefined()
    const { seen, sink } = reader()
    stream.pipe(sink)
    expect(seen.text).toBe('12345678')
    expect(source.resumed).toBe(1)
    expect(source.write('short')).toBe(true)
    source.sink?.end(['x-sum', '1'])
    expect(seen).toMatchObject({ text: '12345678short', end: 'end x-sum,1' })
  })

  it('gives a block that comes first to the caller, and stops the source', async () => {
    const { source, stream, first } = inspected()
    expect(source.write('so bad it is')).toBe(false)
    expect(await first).toBe(BLOCK)
    expect(source.cancelled).toBe(1)
    expect(source.write('more')).toBe(false)
    const { seen, sink } = reader()
    stream.pipe(sink)
    expect(seen).toMatchObject({ text: '', end: '' })
  })

  it('finds it in a body that is shorter than a window', async () => {
    const { source, first } = inspected(100)
    source.write('bad')
    source.sink?.end()
    expect(await first).toBe(BLOCK)
    expect(source.cancelled).toBe(0)
  })

  it('cuts what has begun, over the border of windows, and says so', async () => {
    const { source, stream, late } = inspected()
    source.write('fine so far b')
    const { seen, sink } = reader()
    stream.pipe(sink)
    expect(source.write('ad and more')).toBe(false)
    expect(seen).toMatchObject({ text: 'fine so far b', end: 'ResponseCut' })
    expect(late).toEqual([BLOCK])
    expect(source.cancelled).toBe(1)
  })

  it('passes back-pressure on, and the rest after the limit', () => {
    const { source, stream } = inspected(4, 8)
    source.write('12345678')
    const { seen, sink } = reader()
    seen.isFull = true
    stream.pipe(sink)
    expect([seen.text, source.resumed]).toEqual(['12345678', 0])
    expect(source.write('bad')).toBe(false)
    expect(seen.text).toBe('12345678')
    stream.resume()
    expect([seen.text, source.resumed]).toEqual(['12345678bad', 0])
    stream.resume()
    expect(source.resumed).toBe(1)
  })

  it('takes what a source sends while it is resumed, empty pieces too, without going in circles', () => {
    const { source, stream } = inspected(4)
    source.write('1234')
    let left = 3
    source.resume = () => {
      source.resumed++
      if (source.resumed > 20) throw new Error('resumed again and again')
      while (left > 0 && source.write(`<${left--}>`)) source.write('')
      if (left === 0 && source.resumed < 20) source.write('')
    }
    const { seen, sink } = reader()
    seen.isFull = true
    stream.pipe(sink)
    for (let i = 0; i < 8; i++) stream.resume()
    source.sink?.end()
    stream.resume()
    expect(seen).toMatchObject({ text: '1234<3><2><1>', end: 'end ' })
    expect(source.resumed).toBeLessThan(8)
  })

  it('keeps its verdict when the source tells of its end while it is stopped', async () => {
    const { source, stream, first, late } = inspected()
    source.cancel = () => source.sink?.fail(new TypeError('cancelled'))
    source.write('so bad it is')
    expect(await first).toBe(BLOCK)
    stream.cancel()
    const other = inspected()
    other.source.cancel = () => other.source.sink?.fail(new TypeError('cancelled'))
    other.source.write('fine so far')
    const { seen, sink } = reader()
    other.stream.pipe(sink)
    other.source.write('bad after all')
    expect(seen.end).toBe('ResponseCut')
    expect([late, other.late]).toEqual([[], [BLOCK]])
  })

  it('stays a failure when the source fails, before and after the first window', async () => {
    for (const text of ['1', '123456789']) {
      const { source, stream, first } = inspected()
      source.write(text)
      source.sink?.fail(new TypeError('gone'))
      expect(await first).toBeUndefined()
      const { seen, sink } = reader()
      stream.pipe(sink)
      expect(seen).toMatchObject({ text, end: 'TypeError' })
    }
  })

  it('lets the waiting go when it is cancelled', async () => {
    const { source, stream, first } = inspected()
    source.write('1')
    stream.cancel()
    expect(await first).toBeUndefined()
    expect(source.cancelled).toBe(1)
  })
})

type Page = (path: string) => UpstreamReply

async function gatewayOver(page: Page, waf: MeridianConfigInput['waf']): Promise<WebGateway> {
  const upstream: Upstream = {
    send: (_origin, request) => ({
      reply: Promise.resolve(page(request.path)),
      cancel: () => {},
    }),
  }
  const config: MeridianConfigInput = {
    pools: { app: { origins: [{ url: 'http://origin.test' }] } },
    routes: [{ pools: ['app'] }],
    waf: { rulesets: [], ...waf },
  }
  return WebGateway.create({ config: JSON.stringify(config), upstream })
}

const get = async (web: WebGateway, path = '/') => {
  const response = await serve(web.gateway, new Request(`http://shop.example${path}`), {})
  return { status: response.status, text: await response.text(), headers: response.headers }
}
const WAF = { responses: { body: true, window: '64B' as const } }

describe('waf.responses.body', () => {
  const memory: Page = () => ({ status: 200, headers: [...HTML], body: bytes(`<pre>${LEAK}`) })

  it.each<[string, MeridianConfigInput['waf'], number]>([
    ['blocks a leak in a body in memory', WAF, 403],
    ['does nothing unless it is wanted', {}, 200],
    ['only logs where it should', { responses: { ...WAF.responses, leaks: 'log' } }, 200],
    [
      'looks for no leaks where these are off',
      { responses: { ...WAF.responses, leaks: 'off' } },
      200,
    ],
    ['only reports where the WAF simulates', { ...WAF, mode: 'simulate' }, 200],
    ['sees no further than the limit', { responses: { ...WAF.responses, limit: '8B' } }, 200],
  ])('%s', async (_, waf, status) => {
    const answer = await get(await gatewayOver(memory, waf))
    expect(answer.status).toBe(status)
    expect(answer.text.includes('Traceback')).toBe(status === 200)
  })

  it.each([
    ['an event stream', ['content-type', 'text/event-stream'], 200],
    ['gRPC', ['content-type', 'application/grpc'], 200],
    ['an encoded body', [...HTML, 'content-encoding', 'br'], 200],
    ['a part of a page', [...HTML, 'content-range', 'bytes 0-9/100'], 206],
    ['an image', ['content-type', 'image/png'], 200],
  ])('never touches %s', async (_, headers, status) => {
    const body = bytes(LEAK)
    const web = await gatewayOver(() => ({ status, headers: [...headers], body }), WAF)
    expect(await get(web)).toMatchObject({ status, text: LEAK })
  })

  it('answers a block instead of a stream whose first window leaks, and cuts a later one', async () => {
    const source = (pieces: readonly string[]): Page => {
      return () => {
        const fed = new Fed()
        const pipe = fed.pipe.bind(fed)
        fed.pipe = (sink) => {
          pipe(sink)
          queueMicrotask(() => {
            for (const piece of pieces) fed.write(piece)
            sink.end()
          })
        }
        return { status: 200, headers: [...HTML], body: fed }
      }
    }
    const fine = 'x'.repeat(80)
    const first = await get(await gatewayOver(source([LEAK.slice(0, 9), LEAK.slice(9)]), WAF))
    expect(first.status).toBe(403)
    expect(first.headers.get('content-type')).toBe('application/problem+json')
    expect(await get(await gatewayOver(source([fine, fine]), WAF))).toMatchObject({
      status: 200,
      text: fine + fine,
    })
    const late = await gatewayOver(source([fine, `${LEAK}${fine}`]), WAF)
    const response = await serve(late.gateway, new Request('http://shop.example/'), {})
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow()
  })
})

describe('over sockets', () => {
  it('streams pages, passes events at once, and cuts leaks', async () => {
    const w = world()
    const origin = await w.origin((request, response) => {
      const path = request.url ?? ''
      if (path === '/events') {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write('data: 1\n\n')
        return
      }
      response.setHeader('content-type', 'text/plain')
      if (path === '/zipped') {
        response.setHeader('content-encoding', 'gzip')
        response.end(gzipSync(LEAK))
      } else if (path === '/big') {
        response.setHeader('content-length', 2_000_000)
        response.end('y'.repeat(2_000_000))
      } else if (path === '/late') {
        response.setHeader('content-length', 200_000 + LEAK.length)
        response.write('z'.repeat(200_000))
        setTimeout(() => response.end(LEAK), 30)
      } else {
        response.write('z'.repeat(100))
        setTimeout(() => response.end(LEAK), 30)
      }
    })
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      waf: { rulesets: [], responses: { body: true, limit: '1MiB' } },
    })
    const big = await fetch(`${gateway.url}/big`)
    expect(big.headers.get('content-length')).toBe('2000000')
    expect((await big.text()).length).toBe(2_000_000)
    expect((await fetch(`${gateway.url}/zipped`)).status).toBe(200)
    expect((await fetch(`${gateway.url}/short`)).status).toBe(403)
    const late = await fetch(`${gateway.url}/late`)
    expect(late.status).toBe(200)
    await expect(late.text()).rejects.toThrow()

    const events = await fetch(`${gateway.url}/events`)
    const read = await events.body?.getReader().read()
    expect(new TextDecoder().decode(read?.value)).toBe('data: 1\n\n')
    const outcomes = await until('records of the blocks', () => {
      const lines = gateway.lines().map(({ path, outcome }) => `${path} ${outcome}`)
      return lines.length >= 4 ? lines : undefined
    })
    expect(outcomes).toEqual(
      expect.arrayContaining(['/big served', '/zipped served', '/short blocked', '/late blocked']),
    )
  })
})

/** `/live` over real sockets, with several processes behind one control port. */
import { describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { withDefaults, world } from '../harness/world.ts'

const TOKEN = 'a-token-of-some-length'
const HEADERS = { authorization: `Bearer ${TOKEN}` }

interface Event {
  readonly id: string
  readonly sequence: number
  readonly what: string
}

interface Frame {
  readonly requests: number
  readonly workers: number
  readonly seconds: number
  readonly statuses: Readonly<Record<string, number>>
  readonly events: readonly Event[]
}

/** Frames as they come; ends with the connection. */
async function* frames(url: string): AsyncGenerator<Frame> {
  const response = await fetch(url, { headers: HEADERS })
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  let text = ''
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const parts = text.split('\n\n')
    text = parts.pop() ?? ''
    for (const part of parts) {
      const data = /^event: frame\n(?:.*\n)*data: (.*)$/m.exec(part)?.[1]
      if (data !== undefined) yield JSON.parse(data) as Frame
    }
  }
}

describe('two worker processes', { timeout: 60_000 }, () => {
  it('are one in every frame; readers are counted, strangers refused, and none holds up the end', async () => {
    const w = world()
    const config = withDefaults(
      {
        routes: [{ id: 'all', respond: { body: 'here' } }],
        admin: { port: 0, token: { file: 'token' } },
      },
      w.folder,
    )
    w.put('token', TOKEN)
    const file = w.put('m.json', JSON.stringify(config))
    const run = program('cli/main.js', ['start', '--config', file, '--workers', '2'])
    const url = await run.says(/listening on (\S+)/)
    const control = await run.says(/control port on (\S+)/)
    expect((await ask(`${control}/live`)).status).toBe(401)

    let seen = 0
    let refused = 0
    let last: Frame | undefined
    let isOver = false
    const reading = (async () => {
      for await (const frame of frames(`${control}/live`)) {
        seen += frame.requests
        refused += frame.statuses['4xx'] ?? 0
        last = frame
      }
    })().catch(() => {
      // Cut by the end of the gateway.
    })
    void reading.then(() => {
      isOver = true
    })
    await until('the first frame', () => last)
    // The first question opens the watch; what comes after it is counted.
    for (let i = 0; i < 40; i++) expect((await ask(`${url}/${i}`)).status).toBe(200)
    for (let i = 0; i < 3; i++) await ask(`${url}/`, { headers: { host: 'a b' } })
    await until('all requests of both processes are in frames', () => seen >= 43)
    expect([seen, refused, last?.workers]).toEqual([43, 3, 2])
    expect(last?.seconds).toBeGreaterThan(0.5)
    const metrics = (await ask(`${control}/metrics`, { headers: HEADERS })).text
    expect(metrics).toMatch(/^meridian_live_subscribers 1$/m)
    expect(metrics).toMatch(/^meridian_live_dropped_total 0$/m)

    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
    await until('the stream has ended', () => isOver)
  })

  it('tell their events apart, though each counts its own', async () => {
    const w = world()
    const config = withDefaults(
      {
        waf: { rulesets: ['basic'] },
        routes: [{ id: 'all', respond: { body: 'here' } }],
        admin: { port: 0, token: { file: 'token' } },
      },
      w.folder,
    )
    w.put('token', TOKEN)
    const file = w.put('m.json', JSON.stringify(config))
    const run = program('cli/main.js', ['start', '--config', file, '--workers', '2'])
    const url = await run.says(/listening on (\S+)/)
    const control = await run.says(/control port on (\S+)/)
    const watched: Event[] = []
    let isWatched = false
    const reading = (async () => {
      for await (const frame of frames(`${control}/live`)) {
        isWatched = true
        watched.push(...frame.events.filter(({ what }) => what === 'blocked'))
      }
    })().catch(() => {
      // Cut by the end of the gateway.
    })
    await until('the first frame', () => isWatched)
    for (let i = 0; i < 20; i++) {
      expect((await ask(`${url}/?q=1'%20OR%20'1'='1`)).status).toBe(403)
    }
    await until('all events in frames', () => watched.length >= 20)
    const listed = (await ask(`${control}/events?limit=1000`, { headers: HEADERS }))
      .json<{ events: Event[] }>()
      .events.filter(({ what }) => what === 'blocked')
    const ids = listed.map(({ id }) => id)
    // Numbers come twice, ids once; both processes were asked, and the frames show the same events.
    expect(new Set(listed.map(({ sequence }) => sequence)).size).toBeLessThan(20)
    expect([ids.length, new Set(ids).size]).toEqual([20, 20])
    expect(new Set(ids.map((id) => id.replace(/-\d+$/, ''))).size).toBe(2)
    expect(new Set(watched.map(({ id }) => id))).toEqual(new Set(ids))

    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
    await reading
  })
})

/** The built command as people run it: signals, worker processes, ports in use, and the demo. */
import { readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { ask, Wire } from '../harness/client.ts'
import { type Program, program } from '../harness/process.ts'
import { pause, ranMs, until } from '../harness/wait.ts'
import {
  proxyTo,
  sumOf,
  type TestConfig,
  type World,
  withDefaults,
  world,
} from '../harness/world.ts'

// Each of these starts several processes, one after another.
const MANY_PROCESSES_MS = 60_000

interface Started {
  readonly run: Program
  readonly file: string
  readonly url: string
  readonly port: number
  readonly control: string
}

/** `meridian start --config FILE`, once it listens. */
async function start(w: World, config: TestConfig): Promise<Started> {
  const file = w.put('meridian.json', JSON.stringify(withDefaults(config, w.folder)))
  const run = program('cli/main.js', ['start', '--config', file])
  const url = await run.says(/listening on (http:\/\/\S+)/)
  const control = await run.says(/control port on (http:\/\/\S+)/)
  return { run, file, url, port: Number(new URL(url).port), control }
}

const metrics = async (control: string, headers: Record<string, string> = {}) =>
  (await ask(`${control}/metrics`, { headers })).text
const answering = (text: string): TestConfig => ({ routes: [{ id: 'r', respond: { body: text } }] })

describe('SIGTERM', () => {
  it('lets requests finish, closes idle connections, ends WebSockets at the limit, and exits 0', async () => {
    const w = world()
    const release: (() => void)[] = []
    const origin = await w.origin((request, response) => {
      if (request.url === '/slow') release.push(() => response.end('finished'))
      else response.end('quick')
    })
    const sockets = new WebSocketServer({ server: origin.server })
    w.onClose(() => sockets.close())
    const shutdown = { delay: '300ms', drain: '4s' } as const
    const { run, url, port, control } = await start(w, { ...proxyTo([origin]), shutdown })
    const slow = Array.from({ length: 10 }, () => ask(`${url}/slow`))
    await until('slow requests at the origin', () => release.length === 10)
    const idle = await Wire.open(port)
    idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await idle.receive(/quick/)
    const client = new WebSocket(`ws://127.0.0.1:${port}/`)
    client.on('error', () => {})
    await new Promise((resolve) => client.once('open', resolve))

    run.kill('SIGTERM')
    const started = ranMs()
    await until('readiness to be off', async () => (await ask(`${control}/readyz`)).status === 503)
    await idle.over()
    // Nobody new is let in, and whoever is in is served to the end.
    await until('a closed door', async () => {
      const wire = await Wire.open(port).catch(() => undefined)
      wire?.close()
      return wire === undefined || wire.isOver
    })
    for (const finish of release) finish()
    for (const got of await Promise.all(slow)) {
      expect(got).toMatchObject({ status: 200, text: 'finished', complete: true })
    }
    expect(client.readyState).toBe(WebSocket.OPEN)
    expect(await run.exited()).toBe(0)
    expect(ranMs() - started).toBeLessThan(12_000)
    await until('the WebSocket to end', () => client.readyState === WebSocket.CLOSED)
    const lines = readFileSync(join(w.folder, 'access.log'), 'utf8').trim().split('\n')
    expect(lines).toHaveLength(12)
  })

  it('with nothing to do exits 0 at once, as SIGINT does, even when sent twice, and SIGHUP reloads', async () => {
    const w = world()
    const config = { ...answering('x'), shutdown: { drain: '30s' } } as const
    const started = await start(w, config)
    const { run, port } = started
    await expectReload(started, config, w.folder)
    const idle = await Wire.open(port)
    const silent = await Wire.open(port)
    idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await idle.receive(/ 200 /)
    run.kill('SIGINT')
    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
    await silent.over()
  })
})

/** SIGHUP takes a good config over, and keeps it against a broken one. */
async function expectReload(
  { run, file, url, control }: Started,
  config: TestConfig,
  folder: string,
) {
  const next = withDefaults({ ...config, ...answering('reloaded') }, folder)
  writeFileSync(file, JSON.stringify(next))
  run.kill('SIGHUP')
  await until('the new answer everywhere', async () => {
    const texts = await Promise.all([1, 2, 3, 4].map(async () => (await ask(url)).text))
    return texts.every((text) => text === 'reloaded')
  })
  writeFileSync(file, '{')
  run.kill('SIGHUP')
  await until('the gauge', async () => {
    return sumOf(await metrics(control), 'meridian_config_last_reload_successful') === 0
  })
  expect((await ask(url)).text).toBe('reloaded')
  writeFileSync(file, JSON.stringify(next))
  await until('the gauge again', async () => {
    return sumOf(await metrics(control), 'meridian_config_last_reload_successful') > 0
  })
}

describe('worker processes', { timeout: MANY_PROCESSES_MS }, () => {
  it('share a port, reload, are replaced when they die, count together, and end together', async () => {
    const w = world()
    const config = { ...answering('x'), workers: 2 }
    const started = await start(w, config)
    const { run, url, port, control } = started
    const status = async () => (await ask(`${control}/status`)).json<{ workers: number }>()
    expect((await status()).workers).toBe(2)
    const REQUESTS = 20
    for (let i = 0; i < REQUESTS; i++) expect((await ask(url)).status).toBe(200)
    expect(sumOf(await metrics(control), 'meridian_http_requests_total')).toBe(REQUESTS)
    await expectReload(started, config, w.folder)

    const workers = () =>
      readFileSync(`/proc/${run.pid}/task/${run.pid}/children`, 'utf8')
        .trim()
        .split(' ')
        .map(Number)
    const before = workers()
    expect(before).toHaveLength(2)
    process.kill(before[0] as number, 'SIGKILL')
    await until(
      'a new worker',
      async () => {
        const now = workers()
        const isReplaced = now.length === 2 && !now.includes(before[0] as number)
        return isReplaced && (await status()).workers === 2
      },
      30_000,
    )
    expect(run.err).toMatch(/a worker ended and is replaced/)
    for (let i = 0; i < 10; i++) expect((await ask(url)).status).toBe(200)

    // While the next one is still starting.
    process.kill(before[1] as number, 'SIGKILL')
    await until('a worker on its way', () => {
      const now = workers()
      return now.length === 2 && !now.includes(before[1] as number)
    })
    const held = await Wire.open(port)
    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
    await held.over()
  })
})

describe('a port that is in use', () => {
  it.each([
    { name: 'one process', workers: 1 },
    { name: 'worker processes', workers: 2 },
  ])('ends the start with one clear error ($name)', async ({ workers }) => {
    const w = world()
    const taken = net.createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    w.onClose(() => taken.close())
    const { port } = taken.address() as net.AddressInfo
    const config = withDefaults(
      { ...answering('x'), workers, listen: { addresses: [{ address: '127.0.0.1', port }] } },
      w.folder,
    )
    const run = program('cli/main.js', [
      'start',
      '--config',
      w.put('m.json', JSON.stringify(config)),
    ])
    expect(await run.exited()).toBe(1)
    const errors = run.err.split('\n').filter((line) => line.includes('in use'))
    expect(errors).toHaveLength(1)
    expect(errors[0]).toContain(String(port))
    expect(run.err).not.toMatch(/ at .*\.js:\d+/)
  })

  it('of the control port, too', async () => {
    const w = world()
    const taken = net.createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    w.onClose(() => taken.close())
    const { port } = taken.address() as net.AddressInfo
    const config = withDefaults({ ...answering('x'), admin: { port } }, w.folder)
    const run = program('cli/main.js', [
      'start',
      '--config',
      w.put('m.json', JSON.stringify(config)),
    ])
    expect(await run.exited()).toBe(1)
    expect(run.err).toContain(`${port} is in use`)
  })
})

describe('the demo', { timeout: MANY_PROCESSES_MS }, () => {
  it('prints addresses and commands that do what they say', async () => {
    const run = program('cli/main.js', ['demo', '--port', '0', '--admin-port', '0'])
    await run.says(/Ctrl-(C)/)
    const url = await run.says(/is running: (http:\/\/\S+)/)
    const control = await run.says(/Control port: +(http:\/\/\S+)/)
    const headers = { authorization: `Bearer ${await run.says(/its token: +(\S+)/)}` }
    /** The requests that a printed curl command would make. */
    const lines = run.out.split('\n').filter((line) => line.includes('curl '))
    const curl = async (line: string) => {
      const target = /curl (?:-\S+ )*"?(http:[^\s"]+)"?/.exec(line)?.[1] as string
      const headers = [...line.matchAll(/-H '([^:]+): ([^']+)'/g)].map(
        (match): [string, string] => [match[1] as string, match[2] as string],
      )
      return ask(target, { headers: Object.fromEntries(headers) })
    }
    const lineWith = (part: string) => lines.find((line) => line.includes(part)) as string
    const regionOf = async (part: string) => (await curl(lineWith(part))).json().region

    expect(lines[0]).toContain(url)
    expect(await regionOf('91.10.0.1')).toBe('eu-central-1')
    expect(await regionOf('8.8.8.8')).toBe('us-east-1')
    expect(await regionOf('118.200.0.1')).toBe('ap-southeast-1')

    expect((await curl(lineWith('OR%20'))).status).toBe(403)

    const cached = lineWith('/cached')
    await curl(cached)
    const second = await curl(cached)
    expect(second.get('cache-status')).toMatch(/hit/)
    expect(second.get('age')).toBeDefined()

    const [without, withToken] = lines.filter((line) => line.includes('/private'))
    expect((await curl(without as string)).status).toBe(401)
    expect((await curl(withToken as string)).status).toBe(200)

    const limited = await Promise.all(Array.from({ length: 60 }, () => ask(`${url}/limited`)))
    const statuses = new Set(limited.map((got) => got.status))
    expect(statuses).toEqual(new Set([200, 429]))

    const explained = await curl(lineWith('/explain?'))
    expect(explained.status).toBe(200)
    expect(explained.text).toContain('eu-central-1')
    expect((await ask(`${control}/status`)).status).toBe(401)
    expect((await ask(`${control}/status`, { headers })).status).toBe(200)
    const page = await ask(await run.says(/Dashboard: +(\S+)/))
    expect(page.get('content-type')).toContain('text/html')
    expect(sumOf(await metrics(control, headers), 'meridian_http_requests_total')).toBeGreaterThan(
      60,
    )

    const pid = Number(/kill -9 (\d+)/.exec(run.out)?.[1])
    expect(run.out).toContain(`(process ${pid})`)
    process.kill(pid, 'SIGKILL')
    await pause(50)
    const survivor = await curl(lineWith('91.10.0.1'))
    expect(survivor.status).toBe(200)
    expect(survivor.json().region).not.toBe('eu-central-1')

    run.kill('SIGINT')
    expect(await run.exited()).toBe(0)
    const origins = [...run.out.matchAll(/\(process (\d+)\)/g)].map((match) => Number(match[1]))
    await until('the origins to end', () =>
      origins.every((one) => {
        try {
          process.kill(one, 0)
          return false
        } catch {
          return true
        }
      }),
    )
  })
})

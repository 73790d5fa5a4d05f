/**
 * Seeded simulation on virtual time against a small reference model: random requests, purges, unsafe
 * methods, failing and slow origins, cut bodies, clock steps. Whatever happens, a client never gets
 * another key's or variant's body, never anything older than an allowance permits, never anything
 * from before a purge or a change that was answered before it asked, and never a torn body as complete.
 */
import { describe, expect, it } from 'vitest'
import type { ByteStream, Reply } from '../exchange.ts'
import { UpstreamError } from '../ports.ts'
import { bytes, Drain, FedStream, seeded, settle, World } from './world.fixture.ts'

const PATHS = ['/a', '/b', '/c/1', '/c/2', '/d']
const CONTROLS = [
  'max-age=5',
  'max-age=20, must-revalidate',
  's-maxage=10',
  'max-age=3, stale-while-revalidate=10',
  'max-age=2, stale-if-error=30',
  'no-store',
  'private, max-age=60',
  'no-cache',
  'max-age=0',
]

/** What the model knows of a version of a path: when the origin made it, and how it may be used. */
interface Made {
  readonly path: string
  readonly variant: string
  readonly version: number
  readonly control: string
  readonly at: number
}

function allowance(control: string): number {
  const number = (name: string) => Number(new RegExp(`${name}=(\\d+)`).exec(control)?.[1] ?? 0)
  if (/no-store|private|no-cache/.test(control)) return 0
  const fresh = /s-maxage/.test(control) ? number('s-maxage') : number('max-age')
  if (/must-revalidate|s-maxage/.test(control)) return fresh * 1000
  const ifError = /stale-if-error/.test(control) ? number('stale-if-error') : 15
  return (fresh + Math.max(number('stale-while-revalidate'), ifError)) * 1000
}

const ALLOWED = new Map(CONTROLS.map((control) => [control, allowance(control)]))
const allowed = (control: string) => ALLOWED.get(control) as number

async function simulate(seed: number, steps: number): Promise<Record<string, number>> {
  const random = seeded(seed)
  const roll = (n: number) => Math.floor(random.next() * n)
  const world = new World({
    seed,
    route: { stale: { ifError: '15s' }, coalesce: { waitMs: '2s' } },
    cache: { memoryBytes: 60_000, maxMemoryObject: 20_000 },
  })
  const versions = new Map(PATHS.map((path) => [path, 1]))
  const made = new Map<string, Made>()
  /** Answers to questions asked before this are not to be seen by questions asked after. */
  const changedAt = new Map<string, number>()
  const counts: Record<string, number> = {
    hit: 0,
    stale: 0,
    revalidated: 0,
    miss: 0,
    failed: 0,
    torn: 0,
  }
  const open: { finish: () => void }[] = []
  let order = 0

  world.origin = (options) => {
    const path = options.pathAndQuery
    const version = versions.get(path) as number
    const at = headerOf(options.headers, 'variant')
    const isVaried = path === '/d'
    const variant = isVaried ? at : '-'
    const tag = `"${path}.${variant}.${version}"`
    if (options.method === 'POST') {
      versions.set(path, version + 1)
      return { status: 204, headers: [], body: null }
    }
    const control = CONTROLS[(path.length * 7 + version) % CONTROLS.length] as string
    const kind = roll(20)
    const text = `${path} ${variant} ${version} ${'x'.repeat(version % 50)}.`
    made.set(tag, { path, variant, version, control, at: world.clock.monotonic() })
    const headers = ['Cache-Control', control, 'ETag', tag, 'Cache-Tag', `t${path[1]}`]
    if (isVaried) headers.push('Vary', 'Variant')
    let answer: Reply
    if (kind === 0) return Promise.reject(new UpstreamError('connect', 'refused'))
    if (kind === 1) answer = { status: 503, headers: [], body: bytes('failing') }
    else if (options.headers.some((v, i) => i % 2 === 1 && v.includes(tag))) {
      answer = { status: 304, headers, body: null }
    } else if (kind < 6) {
      const stream = new FedStream(kind < 4 ? text.length : null)
      const isCut = kind === 2 || kind === 4
      const finish = () => {
        if (stream.isCancelled) return
        if (stream.sink === undefined) {
          stream.onPipe = () => queueMicrotask(finish)
          return
        }
        stream.write(text.slice(0, 5))
        if (isCut && stream.length === null) stream.sink?.fail(new Error('cut'))
        else if (isCut) stream.sink?.end()
        else {
          stream.write(text.slice(5))
          stream.sink?.end()
        }
      }
      open.push({ finish })
      answer = { status: 200, headers, body: stream }
    } else answer = { status: 200, headers, body: bytes(text) }
    if (roll(3) > 0) return answer
    return new Promise((resolve) => open.push({ finish: () => resolve(answer) }))
  }

  /** Plain comparisons: this runs hundreds of thousands of times. */
  const demand = (holds: boolean, what: () => string) => {
    if (!holds) throw new Error(`${what()} (seed ${seed})`)
  }
  const check = (
    path: string,
    variant: string,
    askedAt: number,
    askedOrder: number,
    answer: Reply,
  ) => {
    const tag = headerOf(answer.headers, 'etag')
    if (tag === '') return
    const what = made.get(tag) as Made
    demand(what.path === path, () => `${what.path} was given for ${path}`)
    demand(
      path !== '/d' || what.variant === variant,
      () => `variant ${what.variant} for ${variant}`,
    )
    // Within what its own control allows, counted from when the client asked.
    const age = askedAt - what.at
    demand(age <= allowed(what.control) + 1000, () => `${what.control} used at ${age} ms`)
    // The version current when the client asked, or a later one, once a change was complete.
    const changed = changedAt.get(path)
    const floor = floorVersion.get(path) ?? 0
    demand(
      changed === undefined || askedOrder < changed || what.version >= floor,
      () => `version ${what.version} of ${path} after ${floor} was known`,
    )
    const { body } = answer
    // A stream passed on as it came: its length is the upstream's to check.
    if (answer.status === 304 || body === null || body instanceof FedStream) return
    const whole = `${path} ${what.variant} ${what.version} ${'x'.repeat(what.version % 50)}.`
    if ('byteLength' in body) {
      const text = new TextDecoder().decode(body)
      demand(text === whole, () => `the body of ${path} is ${text}`)
      return
    }
    const sink = new Drain()
    ;(body as ByteStream).pipe(sink)
    checks.push(() => {
      demand(!sink.ended || sink.text === whole, () => `complete, yet only ${sink.text}`)
      if (sink.failed === undefined) return
      counts.torn!++
      demand(whole.startsWith(sink.text), () => `not a beginning: ${sink.text}`)
    })
  }
  const floorVersion = new Map<string, number>()
  const checks: (() => void)[] = []

  for (let step = 0; step < steps; step++) {
    const path = PATHS[roll(PATHS.length)] as string
    const variant = String(roll(3))
    const action = roll(100)
    if (action < 78) {
      const conditional =
        roll(10) === 0 ? { 'If-None-Match': `"${path}.-.${versions.get(path)}"` } : {}
      const request = world.request(path, { headers: { Variant: variant, ...conditional } })
      const askedAt = world.clock.monotonic()
      const askedOrder = ++order
      const answered = world.send(request)
      const after = (answer: Reply) => {
        counts[request.cacheStatus?.outcome ?? 'none'] =
          (counts[request.cacheStatus?.outcome ?? 'none'] ?? 0) + 1
        check(path, variant, askedAt, askedOrder, answer)
      }
      if (answered instanceof Promise) {
        answered
          .then(after, (error: unknown) => {
            if (error instanceof UpstreamError) counts.failed!++
            else throw error
          })
          .catch((error: unknown) => failures.push(error))
        if (roll(15) === 0) {
          request.aborted = true
          request.onAbort?.cancel()
        }
      } else after(answered)
    } else if (action < 82) {
      versions.set(path, (versions.get(path) as number) + 1)
      world.cache.purge({
        mode: 'hard',
        ...(roll(2) === 0 ? { urls: [`https://example.com${path}`] } : { tags: [`t${path[1]}`] }),
      })
      floorVersion.set(path, versions.get(path) as number)
      changedAt.set(path, ++order)
    } else if (action < 85) {
      const request = world.request(path, { method: 'POST' })
      const answer = world.send(request)
      expect(answer).not.toBeInstanceOf(Promise)
      floorVersion.set(path, versions.get(path) as number)
      changedAt.set(path, ++order)
    } else if (action < 93) {
      world.clock.advance(roll(4000))
    } else if (action === 93) world.clock.step((random.next() - 0.5) * 7_200_000)
    if (open.length > 0 && roll(2) === 0) {
      const [one] = open.splice(roll(open.length), 1)
      one?.finish()
    }
    if (step % 3 === 0) await settle()
    if (failures.length > 0) throw failures[0]
  }
  while (open.length > 0) {
    open.pop()?.finish()
    await settle()
  }
  world.clock.advance(10_000)
  await settle()
  for (const one of checks) one()
  if (failures.length > 0) throw failures[0]
  const stats = world.cache.stats()
  expect(stats.fillsUnderWay, `fills left over, seed ${seed}`).toBe(0)
  expect(stats.fillingBytes).toBe(0)
  return counts
}

const failures: unknown[] = []

function headerOf(flat: readonly string[], name: string): string {
  for (let i = 0; i < flat.length; i += 2) {
    if ((flat[i] as string).toLowerCase() === name) return flat[i + 1] as string
  }
  return ''
}

describe('simulation', () => {
  const steps = Number(process.env.CACHE_SIMULATION_STEPS ?? 4000)
  it.each([1, 2, 3, 4, 5])(
    'seed %i',
    async (seed) => {
      const counts = await simulate(seed, steps)
      // It did exercise what it is about.
      for (const outcome of ['hit', 'stale', 'revalidated', 'miss', 'failed', 'torn']) {
        expect(counts[outcome], outcome).toBeGreaterThan(0)
      }
    },
    600_000,
  )
})

/**
 * Seeded simulation on virtual time against the reference model: random requests, ranges, directives,
 * purges, unsafe methods, failing and slow origins, cut bodies, clients that leave, clock steps, with and
 * without a slow second tier. Every single reply is judged.
 *
 * CACHE_SIMULATION_STEPS sets how many steps each seed takes (`npm run simulate:cache` for a million requests).
 */
import { describe, expect, it } from 'vitest'
import { type ByteStream, HeaderList, type Reply } from '../exchange.ts'
import { UpstreamError } from '../ports.ts'
import { type OriginAnswer, ReferenceModel } from './reference-model.fixture.ts'
import type { CacheStore, StoredVariants, StoreStats } from './store/cache-store.ts'
import { MemoryStore } from './store/memory-store.ts'
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
const DIRECTIVES = ['no-cache', 'max-age=2', 'min-fresh=3', 'max-stale=4', 'only-if-cached']
const IF_ERROR = 15

interface Run {
  readonly seed: number
  readonly steps: number
  readonly profile: 'safe' | 'rfc9111'
  readonly hasLower: boolean
}

/** A second tier whose answers take a while. */
class SlowStore implements CacheStore {
  readonly name = 'slow'
  readonly isShared = true
  readonly #inner = new MemoryStore({ capacityBytes: 500_000, admission: 'lru' })
  readonly #later: (run: () => void) => void

  constructor(later: (run: () => void) => void) {
    this.#later = later
  }

  lookup(key: string): Promise<StoredVariants | undefined> {
    return new Promise((resolve) => {
      const found = this.#inner.lookup(key)
      // As a tier that writes bytes does it: what comes out is another object.
      const copy =
        found === undefined
          ? undefined
          : { key, responses: found.responses.map((one) => one.with({})) }
      this.#later(() => resolve(copy))
    })
  }
  put(...args: Parameters<MemoryStore['put']>): Promise<void> {
    return new Promise((resolve) =>
      this.#later(() => {
        this.#inner.put(...args)
        resolve()
      }),
    )
  }
  remove(key: string): Promise<void> {
    this.#inner.remove(key)
    return Promise.resolve()
  }
  clear(): void {
    this.#inner.clear()
  }
  stats(): StoreStats {
    return this.#inner.stats()
  }
}

async function simulate({ seed, steps, profile, hasLower }: Run): Promise<Record<string, number>> {
  const random = seeded(seed)
  const roll = (n: number) => Math.floor(random.next() * n)
  /** What waits for its turn: origins, bodies, the slow tier. */
  const open: (() => void)[] = []
  const world = new World({
    seed,
    profile,
    route: { stale: { ifError: `${IF_ERROR}s` }, coalesce: { waitMs: '2s' } },
    cache: {
      memoryBytes: 60_000,
      maxMemoryObject: 20_000,
      ...(hasLower ? { lower: new SlowStore((run) => open.push(run)) } : {}),
    },
  })
  const model = new ReferenceModel(IF_ERROR)
  const versions = new Map(PATHS.map((path) => [path, 1]))
  const counts: Record<string, number> = { requests: 0, torn: 0, failed: 0, spans: 0 }
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1
  }
  const failures: unknown[] = []
  let order = 0
  let lastFailure = 0
  /** Order up to which everything has reached everybody. */
  let settled = 0
  const rest = async () => {
    const until = order
    await settle()
    settled = until
  }

  const textOf = ({ path, variant, version }: OriginAnswer) =>
    `${path} ${variant} ${version} ${'x'.repeat(version % 50)}.`

  world.origin = (options) => {
    const path = options.pathAndQuery
    const sent = new HeaderList(options.headers)
    const version = versions.get(path) as number
    const variant = path === '/d' ? (sent.get('variant') ?? '') : '-'
    if (options.method === 'POST') {
      versions.set(path, version + 1)
      return { status: 204, headers: [], body: null }
    }
    const control = CONTROLS[(path.length * 7 + version) % CONTROLS.length] as string
    const kind = roll(20)
    const made = model.answered({ path, variant, version, control, at: world.clock.monotonic() })
    const tag = `"${path}.${variant}.${version}"`
    const headers = ['Cache-Control', control, 'ETag', tag, 'Cache-Tag', `t${path[1]}`]
    headers.push('X-Exchange', String(made.exchange))
    if (path === '/d') headers.push('Vary', 'Variant')
    const text = textOf(made)
    const deliver = (): Reply => {
      made.delivered = ++order
      if (kind === 0) {
        lastFailure = order
        throw new UpstreamError('connect', 'refused')
      }
      if (kind === 1) {
        lastFailure = order
        return { status: 503, headers: [], body: bytes('failing') }
      }
      if (sent.joined('if-none-match')?.includes(tag)) return { status: 304, headers, body: null }
      if (options.method === 'HEAD') return { status: 200, headers, body: null }
      if (kind >= 6) return { status: 200, headers, body: bytes(text) }
      const stream = new FedStream(kind < 4 ? text.length : null)
      open.push(() => feed(stream, text, kind === 2 || kind === 4))
      return { status: 200, headers, body: stream }
    }
    if (roll(3) > 0) return kind === 0 ? Promise.resolve().then(deliver) : deliver()
    return new Promise((resolve, reject) =>
      open.push(() => {
        try {
          resolve(deliver())
        } catch (error) {
          reject(error as Error)
        }
      }),
    )
  }

  const fail = (what: string) => failures.push(new Error(`${what} (seed ${seed})`))
  /** Checks to be made when all bodies have come to their end. */
  const ends: (() => void)[] = []

  const checkBody = (answer: Reply, made: OriginAnswer) => {
    const { body } = answer
    // A stream passed on as it came: its length is the upstream's to check.
    if (answer.status === 304 || body === null || body instanceof FedStream) return
    let whole = textOf(made)
    if (answer.status === 206) {
      const span = /^bytes (\d+)-(\d+)\//.exec(
        new HeaderList(answer.headers).get('content-range') ?? '',
      )
      count('spans')
      whole = whole.slice(Number(span?.[1]), Number(span?.[2]) + 1)
    }
    if ('byteLength' in body) {
      const text = new TextDecoder().decode(body)
      if (text !== whole) fail(`the body of ${made.path} is ${text}, not ${whole}`)
      return
    }
    const sink = new Drain()
    ;(body as ByteStream).pipe(sink)
    ends.push(() => {
      if (sink.ended && sink.text !== whole) fail(`complete, yet only ${sink.text}`)
      if (sink.failed === undefined) return
      count('torn')
      if (!whole.startsWith(sink.text)) fail(`not a beginning: ${sink.text}`)
    })
  }

  const ask = (path: string, variant: string) => {
    counts.requests!++
    const extra: Record<string, string> = {}
    const dice = roll(20)
    if (dice < 2) extra['If-None-Match'] = `"${path}.-.${versions.get(path)}"`
    else if (dice < 4) extra.Range = `bytes=${roll(4)}-${4 + roll(4)}`
    const directives = roll(8) === 0 ? (DIRECTIVES[roll(DIRECTIVES.length)] as string) : ''
    if (directives !== '') extra['Cache-Control'] = directives
    const request = world.request(path, {
      method: dice === 5 ? 'HEAD' : 'GET',
      headers: { Variant: variant, ...extra },
    })
    const before = settled
    const asked = ++order
    const after = (answer: Reply) => {
      const status = request.cacheStatus
      count(status?.outcome ?? 'none')
      const headers = new HeaderList(answer.headers)
      const exchange = headers.get('x-exchange')
      // An error page, or the cache's own 504.
      if (exchange === undefined) return
      const age = headers.get('age')
      const wrong = model.complaint({
        path,
        variant,
        directives: profile === 'rfc9111' ? directives : '',
        asked,
        settled: before,
        answeredAt: world.clock.monotonic(),
        outcome: status?.outcome ?? 'none',
        reason: status?.reason ?? '',
        exchange: Number(exchange),
        age: age === undefined ? undefined : Number(age),
        hadFailure: lastFailure > before,
      })
      if (wrong !== undefined)
        fail(`${wrong}: ${request.method} ${path} ${JSON.stringify(extra)} ${status?.header}`)
      checkBody(answer, model.answers[Number(exchange)] as OriginAnswer)
    }
    const answered = world.send(request)
    if (!(answered instanceof Promise)) {
      after(answered)
      return
    }
    answered
      .then(after, (error: unknown) => {
        if (!(error instanceof UpstreamError)) throw error
        count('failed')
      })
      .catch((error: unknown) => failures.push(error))
    if (roll(15) === 0) {
      request.aborted = true
      request.onAbort?.cancel()
    }
  }

  for (let step = 0; step < steps; step++) {
    const path = PATHS[roll(PATHS.length)] as string
    const action = roll(100)
    const what =
      roll(2) === 0 ? { urls: [`https://example.com${path}`] } : { tags: [`t${path[1]}`] }
    if (action < 78) ask(path, String(roll(3)))
    else if (action < 81) {
      versions.set(path, (versions.get(path) as number) + 1)
      world.cache.purge({ mode: 'hard', ...what })
      model.changed(path, versions.get(path) as number, ++order)
    } else if (action < 82) {
      world.cache.purge({ mode: 'soft', ...what })
      model.softPurged(path, ++order)
    } else if (action < 85) {
      const answer = world.send(world.request(path, { method: 'POST' }))
      expect(answer).not.toBeInstanceOf(Promise)
      model.changed(path, versions.get(path) as number, ++order)
    } else if (action < 93) {
      // What was answered before the time goes on is seen before it does.
      await rest()
      world.clock.advance(roll(4000))
    } else if (action === 93) world.clock.step((random.next() - 0.5) * 7_200_000)
    if (open.length > 0 && roll(2) === 0) open.splice(roll(open.length), 1)[0]?.()
    if (step % 3 === 0) await rest()
    if (failures.length > 0) throw failures[0]
  }
  while (open.length > 0) {
    open.pop()?.()
    await settle()
  }
  world.clock.advance(10_000)
  await settle()
  for (const end of ends) end()
  if (failures.length > 0) throw failures[0]
  const stats = world.cache.stats()
  expect(stats.fillsUnderWay, `fills left over, seed ${seed}`).toBe(0)
  expect(stats.fillingBytes).toBe(0)
  return counts
}

/** Sends a body in two pieces, the second of which may never come. */
function feed(stream: FedStream, text: string, isCut: boolean): void {
  if (stream.isCancelled) return
  if (stream.sink === undefined) {
    stream.onPipe = () => queueMicrotask(() => feed(stream, text, isCut))
    return
  }
  stream.write(text.slice(0, 5))
  if (isCut && stream.length === null) stream.sink.fail(new Error('cut'))
  else if (isCut) stream.sink.end()
  else {
    stream.write(text.slice(5))
    stream.sink.end()
  }
}

describe('simulation', () => {
  const steps = Number(process.env.CACHE_SIMULATION_STEPS ?? 17_000)
  it.each<Omit<Run, 'steps'>>([
    { seed: 1, profile: 'safe', hasLower: false },
    { seed: 2, profile: 'safe', hasLower: false },
    { seed: 3, profile: 'rfc9111', hasLower: false },
    { seed: 4, profile: 'rfc9111', hasLower: false },
    { seed: 5, profile: 'safe', hasLower: true },
    { seed: 6, profile: 'rfc9111', hasLower: true },
  ])(
    'seed $seed, $profile, second tier: $hasLower',
    async (run) => {
      const counts = await simulate({ ...run, steps })
      // It did exercise what it is about.
      for (const outcome of ['hit', 'stale', 'revalidated', 'miss', 'failed', 'torn', 'spans']) {
        expect(counts[outcome], outcome).toBeGreaterThan(0)
      }
      if (steps > 100_000) console.info(`seed ${run.seed}: ${JSON.stringify(counts)}`)
    },
    600_000,
  )
})

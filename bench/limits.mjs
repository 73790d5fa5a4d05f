/**
 * A limit check in memory against rate-limiter-flexible's memory limiter, in one run: CPU time for each
 * check, best of several rounds. `npm run build && node bench/limits.mjs`; `--check` fails above the budget,
 * `--keys` shows the memory that ten million clients take.
 */
import { performance } from 'node:perf_hooks'
import { argv, cpuUsage, exit, memoryUsage, stdout } from 'node:process'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { Exchange, HeaderList } from '../dist/exchange.js'
import { parseIp } from '../dist/http/ip.js'
import { Limits } from '../dist/limits/limits.js'

const CLIENTS = 10_000
// Short rounds: the shortest of many is one that nothing disturbed.
const CHECKS = 20_000
const ROUNDS = 80

const clock = { now: () => Date.now(), monotonic: () => performance.now(), after: () => () => {} }
const seed = Uint8Array.from({ length: 16 }, (_, i) => i)
const report = (path, message) => {
  throw new Error(`${path}: ${message}`)
}
const policy = (id, algorithm, more) => ({
  id,
  algorithm,
  limit: 1000,
  window: 60_000,
  burst: algorithm === 'gcra' ? 1000 : undefined,
  segments: 10,
  timeZone: 'UTC',
  key: ['ip'],
  cost: 1,
  phase: 'address',
  refundOnError: false,
  action: 'block',
  status: 429,
  scope: 'global',
  headers: true,
  ...more,
})
const compile = (...policies) => Limits.compile(policies, { clock, seed, report })

const texts = Array.from(
  { length: CLIENTS },
  (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
)
const clients = texts.map((text) => {
  const ip = parseIp(text)
  return { ip, port: 1, peer: ip, viaTrustedProxy: false, tls: null }
})
// One exchange whose client is replaced: a real one has just been made and is in the processor's cache.
const exchange = new Exchange({
  id: 'bench',
  startedAt: 0,
  method: 'GET',
  scheme: 'https',
  httpVersion: '1.1',
  authority: 'example.com',
  host: 'example.com',
  target: { raw: '/', path: '/', query: '', pathAndQuery: '/' },
  headers: new HeaderList([]),
  client: clients[0],
  body: null,
})

function cpu() {
  const { user, system } = cpuUsage()
  return user + system
}

const memory = new RateLimiterMemory({ points: 1000, duration: 60 })
async function flexible() {
  for (let i = 0; i < CHECKS; i++) {
    try {
      await memory.consume(texts[i % CLIENTS])
    } catch {
      // Over the limit: its way to say so.
    }
  }
}

function checking(...policies) {
  const limits = compile(...policies)
  return () => {
    for (let i = 0; i < CHECKS; i++) {
      exchange.client = clients[i % CLIENTS]
      limits.check(exchange, 'address')
    }
  }
}

/** As the gateway does it: the clock is read once for all phases of a request. */
function checkingAtGivenTime(policy) {
  const limits = compile(policy)
  return () => {
    let now = performance.now()
    for (let i = 0; i < CHECKS; i++) {
      if (i % 100 === 0) now = performance.now()
      exchange.client = clients[i % CLIENTS]
      limits.check(exchange, 'address', limits.global, now)
    }
  }
}

const contenders = [
  ['rate-limiter-flexible, memory', flexible],
  ['gcra', checking(policy('a', 'gcra'))],
  ['gcra, the time given', checkingAtGivenTime(policy('a', 'gcra'))],
  ['sliding, 10 segments', checking(policy('a', 'sliding'))],
  ['two-window', checking(policy('a', 'two-window'))],
  ['exact, limit 100', checking(policy('a', 'exact', { limit: 100 }))],
  ['fixed', checking(policy('a', 'fixed'))],
  ['three of gcra', checking(policy('a', 'gcra'), policy('b', 'gcra'), policy('c', 'gcra'))],
]
/** Memory after the first million of distinct clients and after ten: `--keys`. */
if (argv.includes('--keys')) {
  const limits = compile(policy('a', 'gcra'))
  const ip = { family: 4, words: [0], text: '' }
  let before
  for (let i = 0; i <= 10_000_000; i++) {
    if (i === 1_000_000) before = memoryUsage()
    ip.words[0] = Math.imul(i, 0x9e3779b1)
    exchange.client = { ip, port: 1, peer: ip, viaTrustedProxy: false, tls: null }
    limits.check(exchange, 'address')
  }
  const after = memoryUsage()
  const mib = (bytes) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
  stdout.write(
    `a million clients: ${mib(before.rss)} resident, ${mib(before.arrayBuffers)} in tables\n`,
  )
  stdout.write(`ten million: ${mib(after.rss)} resident, ${mib(after.arrayBuffers)} in tables\n`)
  exit(0)
}

/** Microseconds of CPU a check, the least of all rounds; rounds take turns, so that noise meets all alike. */
const best = contenders.map(() => Number.POSITIVE_INFINITY)
for (let round = 0; round < ROUNDS; round++) {
  for (const [i, [, run]] of contenders.entries()) {
    // Its turn finds the caches full of the others' tables: one round over its clients to take them back.
    await run()
    const before = cpu()
    await run()
    best[i] = Math.min(best[i], (cpu() - before) / CHECKS)
  }
}
for (const [i, [name]] of contenders.entries()) {
  stdout.write(`${name}: ${(best[i] / best[0]).toFixed(3)} (${best[i].toFixed(3)} us a check)\n`)
}
const isMet = best[2] <= 0.2 * best[0]
stdout.write(`budget for gcra: 0.200, ${isMet ? 'met' : 'missed'}\n`)
exit(argv.includes('--check') && !isMet ? 1 : 0)

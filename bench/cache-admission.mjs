/**
 * Miss ratio of the memory store's admission against plain LRU, on traces made here: Zipf popularity with
 * log-normal sizes, the same with one-hit wonders, the same with scans.
 *
 *   npm run build && node bench/cache-admission.mjs [requests]
 */
import { emptyCacheControl } from '../dist/cache/http/cache-control.js'
import { StoredResponse } from '../dist/cache/policy/stored-response.js'
import { MemoryStore } from '../dist/cache/store/memory-store.js'

const requests = Number(process.argv[2] ?? 300_000)
const OBJECTS = 20_000

function seeded(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Sizes by key: log-normal, median 4 KiB. Only their number is used, no body is made. */
function sizes(random) {
  const known = new Map()
  return (key) => {
    let size = known.get(key)
    if (size === undefined) {
      const normal = Math.sqrt(-2 * Math.log(random() || 1e-9)) * Math.cos(2 * Math.PI * random())
      size = Math.max(64, Math.min(2e6, Math.round(4096 * Math.exp(1.3 * normal))))
      known.set(key, size)
    }
    return size
  }
}

function zipf(random, exponent) {
  const sums = new Float64Array(OBJECTS)
  let sum = 0
  for (let i = 0; i < OBJECTS; i++) {
    sum += 1 / (i + 1) ** exponent
    sums[i] = sum
  }
  return () => {
    const at = random() * sum
    let low = 0
    let high = OBJECTS - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle] < at) low = middle + 1
      else high = middle
    }
    return `o${low}`
  }
}

const traces = {
  zipf: (random) => zipf(random, 0.9),
  'zipf, a quarter seen once': (random) => {
    const popular = zipf(random, 0.9)
    let once = 0
    return () => (random() < 0.25 ? `once${once++}` : popular())
  },
  'zipf with scans': (random) => {
    const popular = zipf(random, 0.9)
    let scan = 0
    let left = 0
    return () => {
      if (left === 0 && random() < 0.0005) left = 1000
      if (left > 0) {
        left--
        return `scan${scan++ % 50_000}`
      }
      return popular()
    }
  },
}

function stored(key, size) {
  return new StoredResponse({
    key,
    url: key,
    status: 200,
    fields: [],
    // Counted, not allocated.
    body: { byteLength: size },
    vary: [],
    signature: '',
    language: undefined,
    control: emptyCacheControl(),
    lifetime: 1e9,
    initialAge: 0,
    receivedAt: 0,
    receivedWall: 0,
    date: 0,
    etag: undefined,
    lastModified: undefined,
    lastModifiedAt: Number.NaN,
    fetchTook: 0,
    stamp: 1,
    epochNames: [],
    range: undefined,
  })
}

function missRatio(admission, capacityBytes, trace) {
  const store = new MemoryStore({ capacityBytes, admission })
  const sizeOf = sizes(seeded(7))
  const next = trace(seeded(1))
  let misses = 0
  const began = process.cpuUsage()
  for (let i = 0; i < requests; i++) {
    const key = next()
    if (store.lookup(key) !== undefined) continue
    misses++
    store.put(stored(key, sizeOf(key)), 8)
  }
  const cpu = process.cpuUsage(began)
  return { ratio: misses / requests, nanoseconds: ((cpu.user + cpu.system) * 1000) / requests }
}

const footprint = OBJECTS * 9000
let product = 1
let rows = 0
for (const [name, trace] of Object.entries(traces)) {
  for (const part of [0.005, 0.02, 0.1]) {
    const lru = missRatio('lru', footprint * part, trace)
    const tiny = missRatio('tinylfu', footprint * part, trace)
    const relative = tiny.ratio / lru.ratio
    product *= relative
    rows++
    console.log(
      `${name}, ${part * 100} % of the footprint: LRU ${lru.ratio.toFixed(4)}, TinyLFU ${tiny.ratio.toFixed(4)}, ` +
        `ratio ${relative.toFixed(3)}, CPU ${(tiny.nanoseconds / lru.nanoseconds).toFixed(2)}`,
    )
  }
}
console.log(
  `geometric mean of the miss ratios, TinyLFU / LRU: ${(product ** (1 / rows)).toFixed(3)}`,
)

/**
 * What stored responses cost the process against what the store counts, by body size.
 *
 *   npm run build && node bench/cache-memory.mjs
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { emptyCacheControl } from '../dist/cache/http/cache-control.js'
import { StoredResponse } from '../dist/cache/policy/stored-response.js'
import { epochNames } from '../dist/cache/purge/epochs.js'
import { MemoryStore } from '../dist/cache/store/memory-store.js'

const NAMES = [
  'Content-Type',
  'Cache-Control',
  'ETag',
  'Last-Modified',
  'Date',
  'Server',
  'Content-Length',
  'Vary',
  'X-Frame-Options',
  'X-Content-Type-Options',
  'Strict-Transport-Security',
  'X-Request-Id',
]

/** New strings each time, as a parser makes them. */
function fields(i) {
  const flat = []
  for (const name of NAMES) {
    flat.push(
      Buffer.from(name).toString('latin1'),
      Buffer.from(`${i} value of ${name}`).toString('latin1'),
    )
  }
  return flat
}

function used() {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage()
  return { heap: heapUsed + Math.max(external, arrayBuffers), rss }
}

function format() {
  return { name: 'meridian', header: true }
}

/** One size in each process: memory that an earlier one gave back would hide the growth of the next. */
const CASES = [
  [100, 60_000],
  [2000, 40_000],
  [20_000, 8000],
  [200_000, 800],
]
if (process.argv[2] === undefined) {
  for (const [size, count] of CASES) {
    const args = ['--expose-gc', fileURLToPath(import.meta.url), String(size), String(count)]
    process.stdout.write(execFileSync(process.execPath, args))
  }
} else measure(Number(process.argv[2]), Number(process.argv[3]))

function measure(size, count) {
  const store = new MemoryStore({ capacityBytes: 2e9, admission: 'tinylfu' })
  const before = used()
  for (let i = 0; i < count; i++) {
    const path = `/assets/group/${i % 100}/item-${i}.json`
    const url = `https://www.example.com${path}`
    const body = new Uint8Array(size).fill(i & 255)
    const response = new StoredResponse({
      key: Buffer.from(url).toString('latin1'),
      url: Buffer.from(url).toString('latin1'),
      status: 200,
      fields: fields(i),
      body,
      vary: ['accept-encoding'],
      signature: '\n=br, gzip',
      language: undefined,
      control: emptyCacheControl(),
      lifetime: 1e6,
      initialAge: 0,
      receivedAt: 0,
      receivedWall: 0,
      date: 0,
      etag: `"${i}"`,
      lastModified: undefined,
      lastModifiedAt: Number.NaN,
      fetchTook: 0,
      stamp: i,
      epochNames: epochNames('https', 'www.example.com', path, url, [], []),
      range: undefined,
    })
    store.put(response, 8)
    // A response that was asked for carries its ready fields as well.
    response.hit(1000, format(), body)
  }
  const after = used()
  const counted = store.stats().bytes
  const heap = after.heap - before.heap
  console.log(
    `${count} bodies of ${size} B: counted ${(counted / count).toFixed(0)} B each, heap ${(heap / count).toFixed(0)} B each ` +
      `(${(counted / heap).toFixed(2)}), RSS ${((after.rss - before.rss) / count).toFixed(0)} B each (${(counted / (after.rss - before.rss)).toFixed(2)})`,
  )
}

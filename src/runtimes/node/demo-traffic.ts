/** Made-up visitors of the demo: from many countries, mostly after pages, now and then after trouble. */
import { Agent, request } from 'node:http'

/** One address for each place; the demo believes X-Forwarded-For from this machine. Weights: how many visitors. */
const VISITORS: readonly (readonly [address: string, weight: number])[] = [
  ['91.10.0.1', 9],
  ['82.64.0.1', 6],
  ['80.58.61.250', 4],
  ['151.99.125.1', 4],
  ['83.1.1.1', 3],
  ['192.38.1.1', 2],
  ['8.8.8.8', 12],
  ['24.48.0.1', 4],
  ['189.240.1.1', 3],
  ['200.160.0.8', 5],
  ['118.200.0.1', 3],
  ['133.242.0.1', 6],
  ['168.126.63.1', 3],
  ['103.21.58.1', 7],
  ['139.130.4.5', 3],
  ['196.25.1.1', 2],
  ['41.206.0.1', 2],
]

type Draw = (count: number) => number

const WANTS: readonly (readonly [path: (draw: Draw) => string, weight: number])[] = [
  [(draw) => `/products/${draw(40)}`, 40],
  // Few pages, asked for often: most of them come from the cache.
  [(draw) => `/cached?page=${draw(30)}`, 38],
  [() => '/', 10],
  [() => '/checkout', 8],
  [() => '/cached?no-store', 2],
  [() => '/slow?ms=40', 4],
  [() => '/etag', 3],
  [() => '/private', 2],
  [() => `/search?q=${encodeURIComponent("1' OR '1'='1' --")}`, 2],
  [() => `/search?q=${encodeURIComponent('<script>alert(1)</script>')}`, 1],
  [() => '/download?file=../../etc/passwd', 1],
  [() => '/status/503', 1],
]

function pick<T>(list: readonly (readonly [T, number])[]): T {
  let left = Math.random() * list.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [one, weight] of list) {
    left -= weight
    if (left < 0) return one
  }
  // The list is never empty.
  return (list[0] as readonly [T, number])[0]
}

/**
 * @param address of the gateway
 * @param rate    requests a second
 * @returns ends it
 */
export function startDemoTraffic(address: string, rate: number): () => void {
  if (rate === 0) return () => {}
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const draw: Draw = (count) => Math.floor(Math.random() ** 2 * count)
  const timer = setInterval(() => {
    const call = request(address + pick(WANTS)(draw), {
      agent,
      timeout: 10_000,
      headers: { 'x-forwarded-for': pick(VISITORS), 'user-agent': 'meridian-demo-visitor' },
    })
    call.on('response', (response) => response.resume())
    call.on('timeout', () => call.destroy())
    // A visitor who gets no answer leaves; the gateway has counted what happened.
    call.on('error', () => {})
    call.end()
  }, 1000 / rate)
  return () => {
    clearInterval(timer)
    agent.destroy()
  }
}

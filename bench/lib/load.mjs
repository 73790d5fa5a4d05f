/** The load generator's process, seen from the benchmark. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** What a browser would send; a client in Germany, behind a trusted proxy on loopback. */
export const HEADERS = {
  host: 'bench.example',
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'accept-language': 'de,en-US;q=0.7,en;q=0.3',
  'x-forwarded-for': '88.198.1.1',
}

export function startLoad() {
  const child = fork(fileURLToPath(new URL('./load-worker.mjs', import.meta.url)))
  const run = (url, seconds, connections) =>
    new Promise((resolve, reject) => {
      const failed = (code) => reject(new Error(`the load generator exited with ${code}`))
      child.once('exit', failed)
      child.once('message', (result) => {
        child.off('exit', failed)
        resolve(result)
      })
      child.send({ url, seconds, connections, headers: HEADERS })
    })
  return { run, stop: () => child.kill() }
}

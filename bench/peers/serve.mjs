/** What every server of the benchmark has in common: a free port on loopback, told to the parent. */

/** Body of every answer, 1 KiB. */
export const BODY = Buffer.alloc(1024, 'x')

/** Listens and writes `{"port": N}` to stdout, which the parent waits for. */
export function announce(server) {
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`)
  })
}

/** `http://127.0.0.1:PORT` of the origin behind a proxy. */
export function originUrl() {
  const url = process.argv[2]
  if (url === undefined) throw new Error('the URL of the origin is expected as an argument')
  return url
}

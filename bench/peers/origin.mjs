/** The origin behind every proxy: 1 KiB, not cacheable but under `/cached`. */
import { createServer } from 'node:http'
import { announce, BODY } from './serve.mjs'

const FRESH = ['content-type', 'text/plain', 'content-length', String(BODY.length), 'cache-control']

announce(
  createServer({ keepAliveTimeout: 600_000 }, (req, res) => {
    req.resume()
    res.writeHead(200, [...FRESH, req.url.startsWith('/cached') ? 'max-age=3600' : 'no-store'])
    res.end(BODY)
  }),
)

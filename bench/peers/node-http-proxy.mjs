/** The proxy that everybody writes first: `http.request` and `pipe`, with kept connections. */
import { Agent, createServer, request } from 'node:http'
import { announce, originUrl } from './serve.mjs'

const { hostname, port } = new URL(originUrl())
const agent = new Agent({ keepAlive: true })

announce(
  createServer((req, res) => {
    const { method, url, headers } = req
    const upstream = request({ agent, hostname, port, method, path: url, headers }, (reply) => {
      res.writeHead(reply.statusCode, reply.headers)
      reply.pipe(res)
    })
    upstream.on('error', () => res.destroy())
    req.pipe(upstream)
  }),
)

/** The least a Node server can do: a fixed answer. */
import { createServer } from 'node:http'
import { announce, BODY } from './serve.mjs'

announce(
  createServer((_req, res) => {
    res.writeHead(200, { 'content-type': 'text/plain', 'content-length': BODY.length })
    res.end(BODY)
  }),
)

/** http-proxy-3, with kept connections. */
import { Agent, createServer } from 'node:http'
import { createProxyServer } from 'http-proxy-3'
import { announce, originUrl } from './serve.mjs'

const proxy = createProxyServer({ target: originUrl(), agent: new Agent({ keepAlive: true }) })
proxy.on('error', (_error, _req, res) => res.destroy())
announce(createServer((req, res) => proxy.web(req, res)))

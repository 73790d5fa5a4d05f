/** Hono's own `proxy()` helper, as its documentation shows it. */
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { proxy } from 'hono/proxy'
import { announce, originUrl } from './serve.mjs'

const origin = originUrl()
const app = new Hono()
app.all('*', (c) => proxy(origin + c.req.path, { raw: c.req.raw }))
announce(createAdaptorServer({ fetch: app.fetch }))

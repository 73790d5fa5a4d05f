/** A Hono handler on its Node adapter, with the same body. */
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { announce, BODY } from './serve.mjs'

const app = new Hono()
app.get('*', (c) => c.body(BODY, 200, { 'content-type': 'text/plain' }))
announce(createAdaptorServer({ fetch: app.fetch }))

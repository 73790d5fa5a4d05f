/** @fastify/reply-from on Fastify. */
import replyFrom from '@fastify/reply-from'
import fastify from 'fastify'
import { originUrl } from './serve.mjs'

const app = fastify()
await app.register(replyFrom, { base: originUrl() })
app.all('/*', (request, reply) => reply.from(request.url))
await app.listen({ port: 0, host: '127.0.0.1' })
process.stdout.write(`${JSON.stringify({ port: app.server.address().port })}\n`)

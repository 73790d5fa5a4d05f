import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, it, onTestFinished } from 'vitest'
import type { OriginAddress } from '../../ports.ts'
import { UndiciUpstream } from './undici-upstream.ts'

/** In a thread of its own: it answers while this one is held up. */
const ORIGIN = `
const { parentPort } = require('node:worker_threads')
const server = require('node:http').createServer((_, response) => {
  parentPort.postMessage('asked')
  setTimeout(() => response.end('in time'), 50)
})
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`

it('an answer that came while this process was held up is in time', async () => {
  const worker = new Worker(ORIGIN, { eval: true })
  const upstream = new UndiciUpstream({})
  onTestFinished(async () => {
    await upstream.close()
    await worker.terminate()
  })
  const [port] = (await once(worker, 'message')) as [number]
  const origin: OriginAddress = {
    id: 'app',
    scheme: 'http',
    hostname: '127.0.0.1',
    port,
    maxConnections: 1,
    http2: false,
  }
  const { reply } = upstream.send(origin, {
    method: 'GET',
    path: '/',
    headers: ['host', 'app.test'],
    body: null,
    connectTimeoutMs: 5000,
    firstByteTimeoutMs: 500,
    idleTimeoutMs: 5000,
    collectBytes: 1000,
  })
  await once(worker, 'message')
  // As a machine does that gives its processor to others for longer than the timeout.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
  const { body } = await reply
  expect(Buffer.from(body as Uint8Array).toString()).toBe('in time')
})

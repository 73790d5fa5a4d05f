import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ranMs } from '../../../test/harness/wait.ts'
import { ConfigFile } from './config-file.ts'
import { startGateway } from './start.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'meridian-http1-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function gateway() {
  const file = join(folder, 'meridian.json')
  writeFileSync(
    file,
    JSON.stringify({
      listen: { addresses: [{ address: '127.0.0.1', port: 0 }], timeouts: { header: '500ms' } },
      admin: { enabled: false },
      telemetry: { access: { enabled: false } },
      routes: [{ id: 'hello', respond: { body: 'hello' } }],
    }),
  )
  const config = new ConfigFile(file)
  const running = await startGateway(config, await config.load())
  const port = Number(new URL(running.addresses[0]!).port)
  return { running, open: () => connect(port, '127.0.0.1') }
}

function closed(socket: Socket): Promise<number> {
  const started = ranMs()
  socket.resume()
  return new Promise((resolve) => {
    socket.on('close', () => resolve(ranMs() - started))
    socket.on('error', () => {})
  })
}

// The HTTP server never listens itself, which Node takes as a reason to watch nothing.
describe('connections handed to the HTTP/1.1 server', () => {
  it('are cut when a header does not arrive in time', async () => {
    const { running, open } = await gateway()
    const socket = open()
    socket.write('GET / HTTP/1.1\r\nHos')
    expect(await closed(socket)).toBeLessThan(5000)
    await running.close()
  })

  it('are closed by a drain when they are idle', async () => {
    const { running, open } = await gateway()
    const socket = open()
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await new Promise((resolve) => socket.once('data', resolve))
    const cut = closed(socket)
    const started = ranMs()
    await running.close()
    await cut
    expect(ranMs() - started).toBeLessThan(5000)
  })
})

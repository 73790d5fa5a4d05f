/** Socket activation: a port that somebody else opened, and that stays open while the gateway is away. */
import { spawn } from 'node:child_process'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { folderWith } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { until } from '../harness/wait.ts'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/**
 * What systemd does: opens a listening socket and hands it over as descriptor 3 to one start after another.
 * A shell holds it in between, as it never accepts.
 */
async function manage(configFor: (port: number) => object, starts = 1, pid = '$$') {
  const socket = net.createServer()
  await new Promise<void>((resolve) => socket.listen(0, '127.0.0.1', resolve))
  const { port } = socket.address() as AddressInfo
  const folder = await folderWith({ 'meridian.json': JSON.stringify(configFor(port)) })
  const start = `echo pid $$; LISTEN_PID=${pid} LISTEN_FDS=1 exec "$0" "$1" start --config "$2"`
  const script = `for i in ${'x '.repeat(starts)}; do sh -c '${start}' "$0" "$1" "$2"; echo "ended $?"; done`
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  const shell = spawn(
    'sh',
    ['-c', script, process.execPath, MAIN, join(folder.path, 'meridian.json')],
    {
      stdio: ['ignore', 'pipe', 'pipe', fd],
    },
  )
  socket.close()
  let said = ''
  for (const stream of [shell.stdout, shell.stderr]) {
    stream?.on('data', (text) => {
      said += text
    })
  }
  const all = (pattern: RegExp) => [...said.matchAll(pattern)].map((match) => Number(match[1]))
  const stop = (signal: NodeJS.Signals) =>
    process.kill(all(/^pid (\d+)$/gm).at(-1) as number, signal)
  onTestFinished(async () => {
    if (shell.exitCode === null) {
      shell.kill('SIGKILL')
      if (all(/^pid (\d+)$/gm).length > all(/^ended (\d+)$/gm).length) stop('SIGKILL')
    }
    await folder.remove()
  })
  return {
    port,
    said: () => said,
    says: (text: RegExp) => until(`${text}`, () => text.test(said), 20_000),
    /** Exit codes of the starts so far. */
    ended: (count: number) =>
      until(
        'it ends',
        () => {
          const codes = all(/^ended (\d+)$/gm)
          return codes.length < count ? undefined : codes
        },
        20_000,
      ),
    stop: () => stop('SIGTERM'),
  }
}

const config = (port: number, workers = 1) => ({
  listen: { addresses: [{ address: '127.0.0.1', port }] },
  admin: { enabled: false },
  shutdown: { delay: '0s' },
  workers,
  pools: { app: { origins: [{ url: 'http://127.0.0.1:9' }] } },
  routes: [{ respond: { body: 'served' } }],
})

describe('an inherited socket', () => {
  it.each([1, 2])(
    'is served by %i process(es), and clients wait while they restart',
    async (workers) => {
      const managed = await manage((port) => config(port, workers), 2)
      const get = async () => (await ask(`http://127.0.0.1:${managed.port}/`)).text
      expect(await get()).toBe('served')
      managed.stop()
      expect(await managed.ended(1)).toEqual([0])
      expect(await get()).toBe('served')
      managed.stop()
      expect(await managed.ended(2)).toEqual([0, 0])
    },
  )

  it('that is for another process is left alone: the port is in use', async () => {
    const managed = await manage(config, 1, '1')
    expect(await managed.ended(1)).toEqual([1])
    expect(managed.said()).toContain(`127.0.0.1:${managed.port} is in use`)
  })

  it('that no entry names is reported', async () => {
    const managed = await manage(() => config(0))
    await managed.says(/nobody serves a socket/)
    await managed.says(/listening/)
    managed.stop()
    expect(await managed.ended(1)).toEqual([0])
  })
})

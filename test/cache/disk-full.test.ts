/** A disk that is really full: a file system of two megabytes, mounted for one gateway alone. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { until } from '../harness/wait.ts'
import { withDefaults, world } from '../harness/world.ts'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
/** Runs a command where the folder given first is a small file system of its own. */
const SMALL = ['-rm', 'sh', '-c', 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"']
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const canMount = spawnSync('unshare', [...SMALL, '/mnt', 'true'], { stdio: 'ignore' }).status === 0
if (!canMount)
  console.info('file systems cannot be mounted here: the test of a full disk is skipped')

describe.skipIf(!canMount)('a full disk', () => {
  it('costs hits, never a byte: every answer is whole and right', async () => {
    const w = world()
    const bodies = Array.from({ length: 16 }, (_, at) =>
      Buffer.from(`line of ${at} `.repeat(20_000 + 3000 * at)),
    )
    const origin = await w.origin((request, response) => {
      const body = bodies[Number(request.url?.slice(1))] as Buffer
      response.writeHead(200, { 'cache-control': 'max-age=600', 'content-length': body.length })
      response.end(body)
    })
    const directory = join(w.folder, 'disk')
    mkdirSync(directory)
    const config = withDefaults(
      {
        admin: { enabled: false },
        cache: { memory: '8MiB', maxMemoryObject: '64KiB', disk: { directory, size: '1GiB' } },
        pools: { app: { origins: [{ id: 'a', url: origin.url }] } },
        routes: [{ id: 'site', pools: ['app'], cache: {} }],
      },
      w.folder,
    )
    const file = w.put('meridian.json', JSON.stringify(config))
    const gateway: ChildProcess = spawn(
      'unshare',
      [...SMALL, directory, process.execPath, MAIN, 'start', '--config', file],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const closed = new Promise((resolve) => gateway.once('close', resolve))
    w.onClose(async () => {
      gateway.kill('SIGKILL')
      await closed
    })
    let said = ''
    for (const stream of [gateway.stdout, gateway.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
    }
    const url = await until('it listens', () => /listening on (http:\S+)/.exec(said)?.[1])
    const get = (at: number) => ask(`${url}/${at}`, { headers: { host: 'full.example' } })
    // The first one has room.
    await until('it is on disk', async () => /; hit/.test((await get(0)).get('cache-status') ?? ''))
    let hits = 0
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(bodies.map((_, at) => get(at)))
      for (const [at, answer] of answers.entries()) {
        expect([answer.status, answer.complete]).toEqual([200, true])
        expect(sha(answer.body)).toBe(sha(bodies[at] as Buffer))
        if (answer.get('cache-status')?.includes('; hit') === true) hits++
      }
    }
    // What found its place before it was full stays, and it was said that it is.
    expect(hits).toBeGreaterThanOrEqual(3)
    expect(hits).toBeLessThan(bodies.length * 2)
    expect(said).toContain('ENOSPC')
    expect(gateway.exitCode).toBeNull()
  }, 60_000)
})

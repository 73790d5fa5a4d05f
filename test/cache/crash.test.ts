/** kill -9 in the middle of writes to the disk: what is there afterwards is whole, or is not there. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { type Program, program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { withDefaults, world } from '../harness/world.ts'

const COUNT = 12
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** 200 KB to 2.4 MB, different for each. */
function bodyOf(index: number): Buffer {
  const line = Buffer.from(`object ${index} `.padEnd(50, String.fromCharCode(97 + index)))
  return Buffer.concat(Array.from({ length: 4000 * (index + 1) }, () => line))
}

const bodies = Array.from({ length: COUNT }, (_, index) => bodyOf(index))

it.each([
  { name: 'checksummed', key: {} },
  { name: 'encrypted', key: { key: { env: 'CRASH_KEY' } } },
])(
  '$name: nothing corrupt is ever served',
  async ({ key }) => {
    const w = world()
    const origin = await w.origin((request, response) => {
      const body = bodies[Number(request.url?.slice(1))] as Buffer
      response.writeHead(200, {
        'cache-control': 'max-age=600',
        etag: `"${request.url}"`,
        'content-length': body.length,
      })
      const send = (at: number) => {
        if (at >= body.length) return void response.end()
        response.write(body.subarray(at, at + 131_072))
        setTimeout(send, 15, at + 131_072)
      }
      send(0)
    })
    const directory = join(w.folder, 'disk')
    const config = withDefaults(
      {
        admin: { enabled: false },
        cache: { memory: '8MiB', maxMemoryObject: '300KiB', disk: { directory, ...key } },
        pools: { app: { origins: [{ id: 'a', url: origin.url }] } },
        routes: [{ id: 'site', pools: ['app'], cache: {} }],
      },
      w.folder,
    )
    const file = w.put('meridian.json', JSON.stringify(config))
    const start = async (): Promise<{ gateway: Program; url: string }> => {
      const gateway = program('cli/main.js', ['start', '--config', file], {
        CRASH_KEY: '5a'.repeat(32),
      })
      return { gateway, url: await gateway.says(/listening on (http:\S+)/) }
    }
    const headers = { host: 'crash.example' }
    for (const round of [1, 3]) {
      const { gateway, url } = await start()
      // Most of these are cut.
      const asked = bodies.map((_, index) =>
        ask(`${url}/${index}`, { headers }).catch(() => undefined),
      )
      await until('some are on disk, and some on their way', () =>
        filesIn(directory) >= round && namesIn(join(directory, 'tmp')).length > 0
          ? true
          : undefined,
      )
      gateway.kill('SIGKILL')
      await gateway.exited()
      await Promise.all(asked)
    }
    // What the last one left half-written.
    expect(namesIn(join(directory, 'tmp')).length).toBeGreaterThan(0)

    const { url } = await start()
    const answers = await Promise.all(bodies.map((_, index) => ask(`${url}/${index}`, { headers })))
    answers.forEach((answer, index) => {
      expect(answer.complete).toBe(true)
      expect(sha(answer.body)).toBe(sha(bodies[index] as Buffer))
    })
    const hits = answers.filter((answer) => answer.get('cache-status')?.includes('; hit'))
    expect(hits.length).toBeGreaterThanOrEqual(3)
  },
  60_000,
)

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : []
}

function filesIn(directory: string): number {
  return namesIn(directory).filter((name) => /^..\/..\/[0-9a-f]{56}$/.test(name)).length
}

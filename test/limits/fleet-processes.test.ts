/** R20: four processes, one Redis, one limit, five times the load that it admits. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ask, Wire } from '../harness/client.ts'
import { type Program, program } from '../harness/process.ts'
import { hasRedis, RedisServer } from '../harness/redis.ts'
import { pause } from '../harness/wait.ts'
import { sumOf, type TestConfig, withDefaults, world } from '../harness/world.ts'

const LIMIT = 1000
const PROCESSES = 4
const SECONDS = 3
/** Between two bursts of requests, and how many of them each process gets in one. */
const BEAT_MS = 10
const A_BEAT = (5 * LIMIT * BEAT_MS) / 1000

interface Started {
  readonly run: Program
  readonly port: number
  readonly control: string
}

/** Each answer says when its request was taken in: an admission is made then, not when it is read here. */
const AT = /HTTP\/1\.1 (\d+) [\s\S]*?x-second: (\d+)\r\n[\s\S]*?x-millisecond: (\d+)\r\n/gi

it.skipIf(!hasRedis)(
  'four processes stay within 1.12 of the limit in any second, and seldom ask',
  async () => {
    const w = world()
    const redis = await RedisServer.start()
    const config: TestConfig = {
      // A machine that is busy with other things must not look like a server that is away.
      redis: { url: redis.url, commandTimeout: '2s' },
      telemetry: { access: { enabled: false } },
      limits: [{ id: 'api', limit: LIMIT, window: '1s', shared: {} }],
      routes: [
        {
          id: 'site',
          respond: { status: 204 },
          transforms: {
            response: {
              set: {
                'x-second': { expression: 'to_string(http.request.timestamp.sec)' },
                'x-millisecond': { expression: 'to_string(http.request.timestamp.msec)' },
              },
            },
          },
        },
      ],
    }
    const fleet: Started[] = await Promise.all(
      Array.from({ length: PROCESSES }, async (_, i) => {
        const file = w.put(
          `gateway-${i}.json`,
          JSON.stringify(withDefaults(config, join(w.folder))),
        )
        const run = program('cli/main.js', ['start', '--config', file])
        const url = await run.says(/listening on (http:\/\/\S+)/)
        const control = await run.says(/control port on (http:\/\/\S+)/)
        return { run, port: Number(new URL(url).port), control }
      }),
    )
    const wires = await Promise.all(fleet.map(({ port }) => Wire.open(port)))
    const request = 'GET / HTTP/1.1\r\nhost: example.com\r\n\r\n'
    // Eight in ten of them to one process.
    const shares = [0.8, 0.2 / 3, 0.2 / 3, 0.2 / 3].map((share) => share * A_BEAT)
    const startedAt = performance.now()
    let beats = 0
    const owed = shares.map(() => 0)
    while (performance.now() - startedAt < SECONDS * 1000) {
      const due = Math.floor((performance.now() - startedAt) / BEAT_MS)
      for (; beats < due; beats++) {
        shares.forEach((share, i) => {
          owed[i] = (owed[i] as number) + share
          const count = Math.floor(owed[i] as number)
          owed[i] = (owed[i] as number) - count
          if (count > 0) wires[i]?.send(request.repeat(count))
        })
      }
      await pause(2)
    }
    await pause(1000)
    const admitted: number[] = []
    let answered = 0
    for (const wire of wires) {
      for (const [, status, second, millisecond] of wire.text.matchAll(AT)) {
        answered++
        if (status === '204') admitted.push(Number(second) * 1000 + Number(millisecond))
      }
      wire.close()
    }
    admitted.sort((a, b) => a - b)
    let most = 0
    for (let from = 0, to = 0; to < admitted.length; to++) {
      while ((admitted[to] as number) - (admitted[from] as number) >= 1000) from++
      most = Math.max(most, to - from + 1)
    }
    let roundTrips = 0
    for (const { control } of fleet) {
      const text = (await ask(`${control}/metrics`)).text
      roundTrips += sumOf(text, 'meridian_redis_commands_total')
    }
    const seconds = ((admitted.at(-1) as number) - (admitted[0] as number)) / 1000
    const offered = answered / seconds / LIMIT
    const average = admitted.length / seconds / LIMIT
    console.info(
      `offered ${offered.toFixed(2)} of the limit, admitted ${average.toFixed(3)} on average and ` +
        `${(most / LIMIT).toFixed(3)} in the worst second, ${(roundTrips / answered).toFixed(3)} round trips a request`,
    )
    expect(most).toBeLessThanOrEqual(1.12 * LIMIT)
    expect(admitted.length).toBeGreaterThan(LIMIT / 10)
    // A busy machine cannot offer so much more than is admitted; what follows is about a flood.
    if (offered < 3) return
    // The burst of the first second included.
    expect(average).toBeGreaterThan(0.95)
    expect(roundTrips / answered).toBeLessThan(0.15)
  },
  60_000,
)

/** Rollouts moved by hand: the command, the control port, one process and several. */
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inProcess } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { sumOf, type TestConfig, type World, withDefaults, world } from '../harness/world.ts'

async function rollingOut(w: World): Promise<TestConfig> {
  const [before, after] = await Promise.all(
    ['old', 'new'].map((name) => w.origin((_, response) => response.end(name))),
  )
  return {
    pools: {
      onprem: { origins: [{ id: 'a', url: before!.url }] },
      cloud: { origins: [{ id: 'a', url: after!.url }] },
    },
    routes: [
      {
        id: 'shop',
        pools: ['onprem'],
        cache: false,
        rollout: { from: 'onprem', to: 'cloud', steps: [0, 50, 100], bake: '1h' },
      },
    ],
  }
}

const commandsTo =
  (control: string) =>
  (...args: string[]) =>
    inProcess(['rollout', ...args, '--control', control])

interface Event {
  readonly what: string
  readonly detail: Record<string, unknown>
}
const rolloutEvents = async (control: string): Promise<Event[]> => {
  const { events } = (await ask(`${control}/events?kind=steering`)).json<{ events: Event[] }>()
  return events.filter(({ what }) => what.startsWith('rollout-'))
}

describe('meridian rollout', () => {
  it('moves clients step by step, back at once, and holds them; each order leaves a trace', async () => {
    const w = world()
    const gateway = await w.gateway(await rollingOut(w))
    const control = gateway.running.control as string
    const rollout = commandsTo(control)
    const served = async () => (await ask(`${gateway.url}/`)).text
    const said = async (...args: string[]) => (await rollout(...args)).out

    expect(await served()).toBe('old')
    expect(await said('freeze', 'shop')).toBe('shop is at 0 %, frozen, in 1 process\n')
    expect(await rollout('advance', 'shop')).toMatchObject({
      code: 1,
      err: expect.stringContaining('"shop" is frozen: resume it before it can advance'),
    })
    expect(await said('resume', 'shop')).toContain('baking')
    expect(await said('advance', 'shop')).toContain('is at 50 %, baking')
    expect(await said('advance', 'shop')).toContain('is at 100 %, done')
    expect(await served()).toBe('new')
    for (const [order, why] of [
      ['advance', 'at its last step: there is nothing to advance to'],
      ['freeze', 'at its last step'],
      ['resume', 'is not frozen'],
    ] as const) {
      const { code, err } = await rollout(order, 'shop')
      expect([code, err]).toEqual([1, expect.stringContaining(why)])
    }
    expect(await said('status')).toMatch(
      /from onprem to cloud\nshare +100 %, step 3 of 3 \(0, 50, 100\)\nphase +done for \d+ s: by an operator/,
    )
    const explained = await (await fetch(`${control}/explain?url=/&ip=10.0.0.1`)).json()
    const steer = explained.steps.find(({ step }: { step: string }) => step === 'steer')
    expect(steer.why).toContain('rollout shop: new arm, pool cloud (100 %, done)')
    expect(steer.detail.rollout).toMatchObject({ arm: 'new', percent: 100 })

    expect(await said('rollback', 'shop')).toContain('is at 0 %, rolled-back')
    expect(await said('rollback', 'shop')).toContain('is at 0 %, rolled-back')
    expect(await served()).toBe('old')
    expect((await rollout('freeze', 'shop')).err).toContain('nothing moves before somebody')
    const events = await rolloutEvents(control)
    expect(events.map(({ what }) => what)).toEqual([
      'rollout-frozen',
      'rollout-baking',
      'rollout-baking',
      'rollout-done',
      'rollout-rolled-back',
      'rollout-rolled-back',
    ])
    expect(events[0]?.detail).toMatchObject({ rollout: 'shop', by: '127.0.0.1' })
    const order = { rollout: 'shop', command: 'advance' }
    expect(await gateway.metric('meridian_rollout_commands_total', order)).toBe(2)
    const [status] = JSON.parse(await said('status', 'shop', '--json'))
    expect(status).toMatchObject({ phase: 'rolled-back', step: -1, workers: 1, elsewhere: 0 })
  })

  it('says what is wrong with an order', async () => {
    const w = world()
    const gateway = await w.gateway(await rollingOut(w))
    const control = gateway.running.control as string
    const rollout = commandsTo(control)
    for (const args of [
      ['advance', 'shpo'],
      ['status', 'shpo'],
    ]) {
      const { code, err } = await rollout(...args)
      expect([code, err]).toEqual([
        1,
        expect.stringContaining('There is no rollout "shpo": there are "shop".'),
      ])
    }
    expect((await rollout('advance')).code).toBe(2)
    const post = (body: string) =>
      fetch(`${control}/rollouts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
    expect((await post('{"rollout":"shop","command":"jump"}')).status).toBe(400)
    expect((await post('nonsense')).status).toBe(400)
    expect((await post('{"rollout":"x","command":"advance"}')).status).toBe(404)
    expect((await post('{"rollout":"shop","command":"resume"}')).status).toBe(409)
    const none = await w.gateway({ routes: [{ id: 'r', respond: { body: 'x' } }] })
    const elsewhere = commandsTo(none.running.control as string)
    expect((await elsewhere('status')).out).toBe('no route has a rollout\n')
    expect((await elsewhere('advance', 'shop')).err).toContain('no route has one')
  })
})

describe('over a restart', () => {
  it('goes on where it was, stays back, and is held when nobody can say where it was', async () => {
    const w = world()
    const directory = join(w.folder, 'state', 'deep')
    const file = join(directory, 'rollouts.json')
    const config = { ...(await rollingOut(w)), state: { directory } }
    const started = async () => {
      const gateway = await w.gateway(config)
      const rollout = commandsTo(gateway.running.control as string)
      return {
        order: async (command: string) => (await rollout(command, 'shop')).out,
        served: async () => (await ask(`${gateway.url}/`)).text,
        log: gateway.log,
        write: (next: TestConfig) => gateway.write(next),
        stop: () => gateway.running.close(),
      }
    }
    let g = await started()
    await g.order('advance')
    await g.order('advance')
    await g.stop()
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      version: 1,
      rollouts: [{ rollout: 'shop', percent: 100, phase: 'done' }],
    })

    g = await started()
    expect(await g.served()).toBe('new')
    expect(g.log.map(({ message }) => message)).toContain('rollout shop goes on at 100 %: done')
    // A reload hands the new snapshot's rollouts on as well.
    g.write({
      ...config,
      pools: { ...config.pools, idle: { origins: [{ url: 'http://10.0.0.9' }] } },
    })
    await until('the reload', () => g.log.some(({ message }) => message === 'config reloaded'))
    await g.order('rollback')
    await g.stop()

    g = await started()
    expect(await g.served()).toBe('old')
    expect(await g.order('status')).toContain('rolled-back')
    await g.order('advance')
    await g.order('advance')
    await g.stop()

    for (const text of [
      '{"version":1,"rollouts":[{"rollout"',
      '{"version":1,"rollouts":[{}]}',
      '{"version":9}',
    ]) {
      writeFileSync(file, text)
      g = await started()
      expect(await g.served()).toBe('old')
      const said = g.log.find(({ message }) => message.includes('cannot be read'))
      expect(said).toMatchObject({ level: 'error', fields: { rollouts: 'shop' } })
      expect(readFileSync(`${file}.unreadable`, 'utf8')).toBe(text)
      await g.stop()
      g = await started()
      expect(await g.served()).toBe('old')
      expect(await g.order('advance')).toContain('is at 0 %, baking')
      await g.stop()
    }
  })

  it('needs a folder that can be used', async () => {
    const w = world()
    const blocked = w.put('blocked', 'a file')
    const config = { ...(await rollingOut(w)), state: { directory: join(blocked, 'state') } }
    await expect(w.gateway(config)).rejects.toThrow(/state\.directory: the folder cannot be used/)
  })
})

describe('with worker processes', { timeout: 60_000 }, () => {
  it('an order reaches all of them, and the one that takes the place of a dead one', async () => {
    const w = world()
    const state = { directory: join(w.folder, 'state') }
    const config = withDefaults({ ...(await rollingOut(w)), workers: 2, state }, w.folder)
    const file = w.put('meridian.json', JSON.stringify(config))
    const run = program('cli/main.js', ['start', '--config', file])
    const url = await run.says(/listening on (http:\/\/\S+)/)
    const control = await run.says(/control port on (http:\/\/\S+)/)
    const rollout = commandsTo(control)
    /** Each on a connection of its own: workers take turns. */
    const served = async () => {
      const texts = new Set<string>()
      for (let i = 0; i < 12; i++) {
        texts.add((await ask(`${url}/`, { headers: { connection: 'close' } })).text)
      }
      return [...texts].join()
    }
    const percent = async () =>
      (await ask(`${control}/metrics`)).text.match(/meridian_rollout_percent\{.*\} (\d+)/)?.[1]

    await rollout('advance', 'shop')
    expect((await rollout('advance', 'shop')).out).toBe('shop is at 100 %, done, in 2 processes\n')
    expect(await served()).toBe('new')
    expect(await percent()).toBe('100')
    const metrics = (await ask(`${control}/metrics`)).text
    expect(sumOf(metrics, 'meridian_rollout_commands_total')).toBe(2)
    expect(await rolloutEvents(control)).toHaveLength(2)

    expect((await rollout('rollback', 'shop')).out).toContain('rolled-back, in 2 processes')
    expect(await served()).toBe('old')

    await rollout('advance', 'shop')
    await rollout('advance', 'shop')
    const workers = () =>
      readFileSync(`/proc/${run.pid}/task/${run.pid}/children`, 'utf8').trim().split(' ')
    const [first] = workers()
    process.kill(Number(first), 'SIGKILL')
    await until(
      'a new worker that knows where the rollout is',
      async () => {
        const [status] = JSON.parse((await rollout('status', '--json')).out)
        return !workers().includes(first as string) && status.workers === 2 && status.percent === 50
      },
      30_000,
    )
    const [status] = JSON.parse((await rollout('status', '--json')).out)
    expect(status).toMatchObject({ phase: 'baking', elsewhere: 0, step: 1 })
    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
    expect(JSON.parse(readFileSync(join(state.directory, 'rollouts.json'), 'utf8'))).toMatchObject({
      rollouts: [{ rollout: 'shop', percent: 50, phase: 'baking' }],
    })
    const again = program('cli/main.js', ['start', '--config', file])
    const control2 = await again.says(/control port on (http:\/\/\S+)/)
    const [resumed] = JSON.parse((await commandsTo(control2)('status', '--json')).out)
    expect(resumed).toMatchObject({ percent: 50, step: 1, workers: 2, elsewhere: 0 })
  })

  it('one that goes back takes the others with it', async () => {
    const w = world()
    const { pools = {}, ...rest } = await rollingOut(w)
    const failing = await w.origin((_request, response) => response.writeHead(500).end('no'))
    const rollout = {
      ...{ from: 'onprem', to: 'cloud', steps: [50, 100], bake: '1h' },
      gates: { minSamples: 20 },
    }
    const config = withDefaults(
      {
        ...rest,
        pools: { ...pools, cloud: { origins: [{ id: 'a', url: failing.url }] } },
        routes: [{ id: 'shop', pools: ['onprem'], cache: false, rollout }],
        trustedProxies: ['127.0.0.1'],
        workers: 2,
      } as TestConfig,
      w.folder,
    )
    const file = w.put('meridian.json', JSON.stringify(config))
    const run = program('cli/main.js', ['start', '--config', file])
    const url = await run.says(/listening on (http:\/\/\S+)/)
    const control = await run.says(/control port on (http:\/\/\S+)/)
    // All over one connection, so that one worker sees all of them.
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    let sent = 0
    const ten = async () => {
      for (let i = 0; i < 10; i++) {
        await ask(`${url}/`, { agent, headers: { 'x-forwarded-for': `10.0.${sent++ % 250}.7` } })
      }
    }
    await until(
      'both processes are back',
      async () => {
        await ten()
        const [status] = JSON.parse((await commandsTo(control)('status', '--json')).out)
        return status.phase === 'rolled-back' && status.elsewhere === 0 && status.workers === 2
      },
      30_000,
    )
    agent.destroy()
  })
})

import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { exchangeOf } from '../telemetry/exchange.fixture.ts'
import { explain } from '../telemetry/explain.ts'
import { ADMIN_PATHS, ADMIN_ROUTES } from './app.ts'
import { checkLine } from './audit.ts'
import { parametersOf } from './route.ts'
import type { BanOrder, RuntimeState } from './state-view.ts'
import type { AdminView } from './view.ts'
import { adminWorld, mask, NOW, READER, TOKEN } from './world.fixture.ts'

const URL_ = 'https://example.com/a'

/** What the shared world leaves out. */
const STATE: RuntimeState = {
  takenAt: 1,
  drains: [{ region: 'eu', since: 1, until: null, by: 'token', reason: null }],
  penalties: [{ key: '192.0.2.7', secondsLeft: 9, terms: 1 }],
  revocations: [{ kind: 'sub', value: 'alice', expiresAt: 9 }],
  rollouts: [],
  ejections: [{ origin: 'a', until: 9 }],
}

function sealed(state: unknown, sha256?: string) {
  const hash = createHash('sha256').update(JSON.stringify(state)).digest('hex')
  return { version: 1, sha256: sha256 ?? hash, state }
}

const EVERYTHING: Partial<AdminView> = {
  limits: async () => [
    {
      id: 'per-client',
      algorithm: 'gcra',
      scope: 'global',
      limit: 10,
      windowMs: 1000,
      enforced: true,
      keys: 1,
      displaced: 0,
      denied: 2,
      logged: 0,
    },
  ],
  penalties: {
    list: async () => [
      { key: '192.0.2.77', secondsLeft: 9, terms: 1 },
      { key: '2001:db8::/64', secondsLeft: 9, terms: 0 },
    ],
    ban: async ({ key }) => (key === '10.0.0.1' ? 'exempt' : { workers: 1, of: 1 }),
    lift: async () => ({ workers: 1, of: 1 }),
  },
  revocations: {
    list: async () => [{ id: 'abc', kind: 'sub', value: 'alice', expiresAt: 9 }],
    add: async () => ({ id: 'abc', workers: 1, of: 1 }),
    remove: async () => ({ workers: 1, of: 1 }),
    longestLife: async () => 3600,
  },
  state: { take: async () => STATE, restore: async () => ({ workers: 1, of: 1 }) },
  configs: {
    etag: async () => 'now',
    source: async () => ({ text: '{}', etag: 'now', readOnly: null }),
    validate: async () => [],
    publish: async (_text, ifMatch) =>
      ifMatch === '*' || ifMatch.includes('now')
        ? { outcome: 'published', etag: 'next', workers: 1, of: 1 }
        : { outcome: 'stale', etag: 'now' },
  },
  rules: {
    list: async () => [
      { name: 'own', source: './own.json', etag: 'now', writable: true, rules: 1, mode: 'enforce' },
    ],
    read: async (name) =>
      name === 'own' ? { text: '{}', etag: 'now', readOnly: null } : undefined,
    validate: async (_text, name) => (name === 'own' ? [] : undefined),
    dryRun: async (name) =>
      name === 'own'
        ? {
            requests: 1,
            withoutBody: 0,
            newlyBlocked: [],
            newlyPassed: [],
            newlyBlockedCount: 0,
            newlyPassedCount: 0,
            otherRules: 0,
            unchanged: 1,
          }
        : undefined,
    publish: async (name) =>
      name === 'own' ? { outcome: 'published', etag: 'next', workers: 1, of: 1 } : undefined,
    recorded: async () => ({ size: 1, capacity: 10, requests: [] }),
  },
  explain: () => explain(exchangeOf(), { status: 200 }, mask),
  threats: () => ({ attackers: [], anomalies: [], watched: 0 }),
  rollouts: {
    status: async () => [
      {
        rollout: 'shop',
        percent: 1,
        phase: 'baking',
        note: '',
        from: 'a',
        to: 'b',
        steps: [1, 100],
        step: 0,
        sinceMs: 0,
        bakeMs: 1,
        old: { requests: 0, errors: 0, p95Ms: null },
        new: { requests: 0, errors: 0, p95Ms: null },
        workers: 1,
        elsewhere: 0,
      },
    ],
    command: async () => 1,
  },
  mirrors: { status: async () => [] },
  live: {
    take: async () => [],
    clock: { now: () => 0, monotonic: () => 0, after: () => () => {} },
  },
  cache: {
    purge: (_order, id) => ({ id: id ?? 'made-up', at: 1, workers: 2 }),
    match: () => 7,
    warm: async () => [],
    entries: async () => [],
    stats: () => ({ workers: 1, tiers: [], routes: [], counters: {} }),
    topMisses: () => [
      { route: 'site', path: '/a', outcome: 'miss', reason: 'uri-miss', count: 2, error: 0 },
    ],
  },
}

/** A request for each route that the gateway can carry out. */
const SAMPLES: Readonly<
  Record<string, { path?: string; body?: unknown; headers?: Record<string, string> }>
> = {
  'post /penalties': { body: { address: '2001:db8::7', for: '5m', reason: 'why' } },
  'delete /penalties/{key}': { path: '/penalties/2001:db8::%2F64' },
  'post /revocations': { body: { kind: 'jti', value: 't1' } },
  'delete /revocations/{id}': { path: '/revocations/abc' },
  'put /snapshot': { body: sealed(STATE) },
  'post /config/validate': { body: '{}' },
  'put /config': { body: '{}', headers: { 'if-match': '"now"' } },
  'post /rules/validate': { body: { text: '{}', name: 'own' } },
  'post /rules/dry-run': { body: { text: '{}', name: 'own' } },
  'get /rules/{name}': { path: '/rules/own' },
  'put /rules/{name}': { path: '/rules/own', body: '{}', headers: { 'if-match': '*' } },
  'get /explain': { path: '/explain?url=/' },
  'post /explain': { body: { url: '/' } },
  'post /regions/{name}/drain': { path: '/regions/eu/drain', body: { for: '5m', reason: 'why' } },
  'post /regions/{name}/enable': { path: '/regions/eu/enable', body: {} },
  'get /live': { path: '/live?frames=1' },
  'post /rollouts': { body: { rollout: 'shop', command: 'freeze' } },
  'post /cache/purge': { body: { urls: [URL_] } },
  'post /cache/warm': { body: { urls: [URL_] } },
  'get /cache/entry': { path: `/cache/entry?url=${URL_}` },
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly 'x-level': string
  readonly parameters: readonly { readonly name: string; readonly in: string }[]
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}

async function description() {
  const answer = await adminWorld(EVERYTHING).call('GET', '/openapi.json')
  return (await answer.json()) as {
    openapi: string
    info: { version: string }
    paths: Record<string, Record<string, Operation>>
  }
}

describe('the table of routes', () => {
  it.each(ADMIN_ROUTES.map((route) => [`${route.method} ${route.path}`, route] as const))(
    '%s answers as it is described',
    async (name, route) => {
      const { call } = adminWorld(EVERYTHING)
      const sample = SAMPLES[name] ?? {}
      const path = sample.path ?? route.path
      const answer = await call(route.method.toUpperCase(), path, sample.body, sample.headers)
      expect(answer.status, await answer.clone().text()).toBe(200)
      expect(answer.headers.get('content-type')).toContain(route.mediaType ?? 'application/json')
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
      const { schema } = route.answer
      if (schema !== undefined) expect(() => v.parse(schema, undefined)).toThrow()
      if (schema !== undefined) v.parse(schema, await answer.json())
      const { paths } = await description()
      const operation = paths[route.path]?.[route.method]
      expect(operation).toMatchObject({ summary: route.summary, 'x-level': route.level })
      const inPath = operation?.parameters.filter((one) => one.in === 'path')
      expect(inPath?.map((one) => one.name)).toEqual(parametersOf(route.path))
    },
  )

  it('is all that the app serves, and the description has nothing else', async () => {
    const { app, call } = adminWorld(EVERYTHING)
    const served = new Set(
      app.routes
        .filter(({ method, path }) => method !== 'ALL' && path !== '/')
        .map(({ method, path }) => `${method} ${path.replaceAll(/:([a-z]+)/g, '{$1}')}`),
    )
    const { openapi, info, paths } = await description()
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(openapi).toBe('3.1.0')
    expect(info.version).toBe('1.2.3')
    expect(new Set(described)).toEqual(served)
    const ids = Object.values(paths).flatMap((methods) =>
      Object.values(methods).map((one) => one.operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
    const listed = (await (await call('GET', '/')).json()) as { paths: object }
    expect(listed.paths).toEqual(ADMIN_PATHS)
  })

  it('says 405 with what is allowed, 404 elsewhere, and takes HEAD for GET', async () => {
    const { call } = adminWorld(EVERYTHING)
    for (const path of Object.keys(ADMIN_PATHS)) {
      const answer = await call('PATCH', path.replaceAll(/\{[a-z]+\}/g, 'x'), {})
      const methods = ADMIN_ROUTES.filter((route) => route.path === path).map((route) =>
        route.method === 'get' ? 'GET, HEAD' : route.method.toUpperCase(),
      )
      expect([path, answer.status]).toEqual([path, 405])
      expect(answer.headers.get('allow')).toBe(methods.join(', '))
    }
    expect((await call('GET', '/nothing')).status).toBe(404)
    expect((await call('HEAD', '/status')).status).toBe(200)
  })

  it.each(ADMIN_ROUTES.filter((route) => route.missing !== undefined).map((r) => [r] as const))(
    'says that $path is not here where it is not',
    async (route) => {
      const nothing = Object.fromEntries(
        Object.keys({ ...EVERYTHING, regions: 0, audit: 0 }).map((key) => [key, undefined]),
      ) as Partial<AdminView>
      const name = `${route.method} ${route.path}`
      const sample = SAMPLES[name] ?? {}
      const { call } = adminWorld({
        ...nothing,
        explain: () => {
          throw new Error()
        },
      })
      const answer = await call(route.method.toUpperCase(), sample.path ?? route.path, sample.body)
      expect(answer.status).toBe(404)
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
    },
  )
})

describe('who may do what', () => {
  const changing = ADMIN_ROUTES.filter((route) => route.action !== undefined)

  it.each(changing.map((route) => [`${route.method} ${route.path}`, route] as const))(
    'a token that may only look is refused %s, and nothing is done',
    async (name, route) => {
      const { call, done, audit } = adminWorld(EVERYTHING)
      const sample = SAMPLES[name] ?? {}
      const method = route.method.toUpperCase()
      const path = sample.path ?? route.path
      const headers = { ...sample.headers, authorization: `Bearer ${READER}` }
      expect((await call(method, path, sample.body, headers)).status).toBe(403)
      expect(done).toEqual([])
      expect(audit.after(0, 10)).toMatchObject([
        { principal: 'read-token', action: route.action, outcome: 'refused', status: 403 },
      ])
      expect((await call('GET', '/status', undefined, headers)).status).toBe(200)
    },
  )

  it('without a token any program of the machine may operate, and not administer', async () => {
    const { call } = adminWorld(EVERYTHING, { token: undefined, readToken: undefined })
    for (const route of ADMIN_ROUTES) {
      const sample = SAMPLES[`${route.method} ${route.path}`] ?? {}
      const path = sample.path ?? route.path
      const { status } = await call(route.method.toUpperCase(), path, sample.body, sample.headers)
      expect([path, status]).toEqual([path, route.level === 'administer' ? 403 : 200])
    }
  })

  it('the owner of the socket may do everything', async () => {
    const access = { token: undefined, readToken: undefined, isUnixSocket: true }
    const { call } = adminWorld(EVERYTHING, access)
    for (const route of ADMIN_ROUTES) {
      const sample = SAMPLES[`${route.method} ${route.path}`] ?? {}
      const path = sample.path ?? route.path
      const { status } = await call(route.method.toUpperCase(), path, sample.body, sample.headers)
      expect([path, status]).toEqual([path, 200])
    }
  })
})

describe('draining a region', () => {
  it('takes a time or an end, and names who and why', async () => {
    const { call, done, audit } = adminWorld()
    const answer = await call('POST', '/regions/eu/drain', { for: '5m', reason: 'new disk' })
    expect(await answer.json()).toMatchObject({
      region: { name: 'eu', state: 'drained', drained: true, reason: 'new disk' },
      workers: 2,
    })
    const until = Date.UTC(2026, 10, 24, 12, 5)
    expect(done).toEqual([{ region: 'eu', until, reason: 'new disk', by: 'token' }])
    expect((await call('POST', '/regions/eu/enable', {})).status).toBe(200)
    expect(audit.after(0, 10)).toMatchObject([
      {
        seq: 1,
        principal: 'token',
        peer: '192.0.2.1',
        action: 'region.drain',
        target: 'eu',
        outcome: 'done',
        detail: { until: '2026-11-24T12:05:00.000Z', reason: 'new disk' },
      },
      { seq: 2, action: 'region.enable', target: 'eu', outcome: 'done' },
    ])
  })

  it.each<[string, string, unknown, number, RegExp]>([
    ['an unknown region', 'eo', {}, 404, /did you mean "eu"/],
    ['both', 'eu', { for: '5m', until: '2026-11-24T18:00:00Z' }, 400, /not both/],
    ['the past', 'eu', { until: '2026-11-24T11:00:00Z' }, 400, /over already/],
    ['no time at all', 'eu', { for: '5 minutes' }, 400, /a duration such as/],
    ['a day of the week', 'eu', { until: 'Tuesday' }, 400, /a time such as/],
    ['something else', 'eu', { hours: 2 }, 400, /hours/],
    ['no JSON', 'eu', '{', 400, /not valid JSON/],
  ])('refuses %s', async (_, name, body, status, why) => {
    const { call, done, audit } = adminWorld()
    const answer = await call('POST', `/regions/${name}/drain`, body)
    expect(answer.status).toBe(status)
    expect(((await answer.json()) as { title: string }).title).toMatch(why)
    expect(done).toEqual([])
    expect(audit.after(0, 10)).toMatchObject([{ outcome: 'failed', status, target: name }])
  })

  it('does not leave a gateway without a region unless told to', async () => {
    const { call, done } = adminWorld()
    expect((await call('POST', '/regions/eu/drain', {})).status).toBe(200)
    const last = await call('POST', '/regions/us/drain', {})
    expect(last.status).toBe(409)
    expect(done).toHaveLength(1)
    expect((await call('POST', '/regions/us/drain?force=true', {})).status).toBe(200)
  })

  it('is no success while a worker has not heard it, and does not undo the config', async () => {
    const { regions } = { regions: { ...base() } }
    const { call, audit } = adminWorld({ regions })
    expect((await call('POST', '/regions/eu/drain', {})).status).toBe(503)
    expect((await call('POST', '/regions/asia/enable', {})).status).toBe(409)
    expect(audit.after(0, 10).map((entry) => entry.outcome)).toEqual(['failed', 'failed'])
  })
})

function base(): NonNullable<AdminView['regions']> {
  const one = {
    since: null,
    until: null,
    by: null,
    reason: null,
    inflight: 0,
    pools: [],
  }
  return {
    list: async () => [
      { ...one, name: 'eu', state: 'up', drained: false, drainedBy: null },
      { ...one, name: 'us', state: 'up', drained: false, drainedBy: null },
      { ...one, name: 'asia', state: 'drained', drained: true, drainedBy: 'config' },
    ],
    drain: async () => ({ workers: 1, of: 2 }),
    enable: async () => ({ workers: 2, of: 2 }),
  }
}

describe('publishing', () => {
  const problem = { path: 'routes', message: 'no', line: 3, column: 5 }

  it.each<[string, Record<string, string>, number, string]>([
    ['the right tag', { 'if-match': '"now"' }, 200, '"next"'],
    ['one of several', { 'if-match': '"old", "now"' }, 200, '"next"'],
    ['whatever is there', { 'if-match': '*' }, 200, '"next"'],
    ['another tag', { 'if-match': '"old"' }, 412, '"now"'],
    ['no tag', {}, 428, ''],
    ['a weak tag', { 'if-match': 'W/"now"' }, 400, ''],
    ['no quotes', { 'if-match': 'now' }, 400, ''],
  ])('with %s', async (_, headers, status, etag) => {
    const { call, audit } = adminWorld(EVERYTHING)
    const answer = await call('PUT', '/config', '{ /* text */ }', headers)
    expect([answer.status, answer.headers.get('etag') ?? '']).toEqual([status, etag])
    expect(audit.after(0, 9)).toMatchObject([
      { action: 'config.publish', outcome: status === 200 ? 'done' : 'failed', status },
    ])
  })

  it.each([
    [{ outcome: 'invalid', problems: [problem] }, 422],
    [{ outcome: 'unavailable', why: 'read-only' }, 409],
    [{ outcome: 'failed', why: 'a worker died' }, 503],
  ] as const)('that came to %j is answered %i', async (result, status) => {
    const configs = { ...EVERYTHING.configs, publish: async () => result }
    const { call } = adminWorld({ ...EVERYTHING, configs } as Partial<AdminView>)
    const answer = await call('PUT', '/config', '{}', { 'if-match': '*' })
    expect(answer.status).toBe(status)
    if (status === 422) expect(await answer.json()).toMatchObject({ problems: [problem] })
  })

  it('knows which rulesets there are, and takes no endless text', async () => {
    const { call } = adminWorld(EVERYTHING)
    for (const [method, path, body] of [
      ['GET', '/rules/other', undefined],
      ['PUT', '/rules/other', '{}'],
      ['POST', '/rules/validate', { text: '{}', name: 'other' }],
      ['POST', '/rules/dry-run', { text: '{}', name: 'other' }],
    ] as const) {
      expect((await call(method, path, body, { 'if-match': '*' })).status).toBe(404)
    }
    const long = 'x'.repeat(8 * 1024 * 1024 + 1)
    expect((await call('PUT', '/config', long, { 'if-match': '*' })).status).toBe(413)
    expect((await call('PUT', '/config', ' ', { 'if-match': '*' })).status).toBe(400)
  })
})

describe('the penalty box', () => {
  it('shows addresses cut to those who may only look', async () => {
    const { call } = adminWorld(EVERYTHING)
    const keys = async (headers: Record<string, string> = {}) => {
      const answer = await call('GET', '/penalties', undefined, headers)
      return ((await answer.json()) as { penalties: { key: string }[] }).penalties.map((p) => p.key)
    }
    expect(await keys()).toEqual(['192.0.2.77', '2001:db8::/64'])
    expect(await keys({ authorization: `Bearer ${READER}` })).toEqual(['192.0.2.0', '2001:db8::'])
  })

  it.each<[string, string, unknown, number, string | undefined]>([
    ['POST', '/penalties', { address: '192.0.2.7' }, 200, '192.0.2.7'],
    ['POST', '/penalties', { address: '2001:db8:0:1:2::3' }, 200, '2001:db8:0:1::/64'],
    ['POST', '/penalties', { address: '::ffff:192.0.2.7' }, 200, '192.0.2.7'],
    ['POST', '/penalties', { address: '10.0.0.1' }, 409, undefined],
    ['POST', '/penalties', { address: '192.0.2.0/24' }, 400, undefined],
    ['POST', '/penalties', { address: 'evil.example' }, 400, undefined],
    ['POST', '/penalties', { address: '192.0.2.7', for: '10y' }, 400, undefined],
    ['DELETE', '/penalties/192.0.2.77', undefined, 200, '192.0.2.77'],
    ['DELETE', '/penalties/2001:db8::9', undefined, 200, '2001:db8::/64'],
    ['DELETE', '/penalties/192.0.2.78', undefined, 404, undefined],
    ['DELETE', '/penalties/everybody', undefined, 400, undefined],
  ])('%s %s %j: %i', async (method, path, body, status, key) => {
    const orders: string[] = []
    const penalties: NonNullable<AdminView['penalties']> = {
      ...(EVERYTHING.penalties as NonNullable<AdminView['penalties']>),
      ban: async (order: BanOrder) => {
        if (order.key === '10.0.0.1') return 'exempt'
        orders.push(order.key)
        return { workers: 1, of: 1 }
      },
      lift: async (lifted) => {
        orders.push(lifted)
        return { workers: 1, of: 1 }
      },
    }
    const { call, audit } = adminWorld({ ...EVERYTHING, penalties })
    expect((await call(method, path, body)).status).toBe(status)
    expect(orders).toEqual(key === undefined ? [] : [key])
    const outcome = status === 200 ? 'done' : 'failed'
    expect(audit.after(0, 9)).toMatchObject([{ outcome, ...(key && { target: key }) }])
  })
})

describe('revocations', () => {
  it.each<[unknown, number, object | undefined]>([
    [{ kind: 'sub', value: 'alice' }, 200, { expiresAt: NOW / 1000 + 3600 }],
    [{ kind: 'sub', value: 'alice', before: 5, issuer: 'i' }, 200, { before: 5, issuer: 'i' }],
    [{ kind: 'jti', value: 't', expiresAt: NOW / 1000 + 1 }, 200, { expiresAt: NOW / 1000 + 1 }],
    [{ kind: 'jti', value: 't', expiresAt: NOW / 1000 }, 400, undefined],
    [{ kind: 'token', value: 'a'.repeat(64) }, 200, { kind: 'token', value: 'a'.repeat(64) }],
    [{ kind: 'token', value: 'eyJ.eyJ.x' }, 400, undefined],
    [{ token: 'a.b.c', kind: 'sub', value: 'alice' }, 400, undefined],
    [{ kind: 'sub' }, 400, undefined],
    [{ kind: 'everybody', value: 'x' }, 400, undefined],
    [{}, 400, undefined],
  ])('%j: %i', async (body, status, expected) => {
    const added: unknown[] = []
    const revocations: NonNullable<AdminView['revocations']> = {
      ...(EVERYTHING.revocations as NonNullable<AdminView['revocations']>),
      add: async (one) => {
        added.push(one)
        return { id: 'x', workers: 1, of: 1 }
      },
    }
    const { call } = adminWorld({ ...EVERYTHING, revocations })
    expect((await call('POST', '/revocations', body)).status).toBe(status)
    expect(added).toHaveLength(status === 200 ? 1 : 0)
    if (expected !== undefined) expect(added[0]).toMatchObject(expected)
  })

  it('of a token that was sent keeps its hash alone', async () => {
    const { call, audit } = adminWorld(EVERYTHING)
    const token = 'header.payload.signature'
    expect((await call('POST', '/revocations', { token })).status).toBe(200)
    const [entry] = audit.after(0, 9)
    const hash = createHash('sha256').update(token).digest('hex')
    expect(entry).toMatchObject({ action: 'revocation.add', target: `token ${hash}` })
    expect(JSON.stringify(entry)).not.toContain('payload')
    expect((await call('DELETE', '/revocations/other')).status).toBe(404)
  })
})

describe('a snapshot', () => {
  it('that was taken can be put back', async () => {
    const restored: unknown[] = []
    const state: NonNullable<AdminView['state']> = {
      take: async () => STATE,
      restore: async (one, by) => {
        restored.push(one, by)
        return { workers: 2, of: 2 }
      },
    }
    const { call, audit } = adminWorld({ ...EVERYTHING, state })
    const taken = await (await call('GET', '/snapshot')).text()
    expect((await call('PUT', '/snapshot', taken)).status).toBe(200)
    expect(restored).toEqual([STATE, 'token'])
    expect(audit.after(0, 9)).toMatchObject([
      { action: 'snapshot.restore', outcome: 'done', detail: { drains: 1, penalties: 1 } },
    ])
  })

  it.each<[string, unknown, number]>([
    ['changed', sealed({ ...STATE, drains: [] }, sealed(STATE).sha256), 422],
    ['of another kind', sealed({ ...STATE, more: 1 }), 422],
    ['with a wrong entry', sealed({ ...STATE, penalties: [{ key: 'x' }] }), 422],
    ['of another version', { ...sealed(STATE), version: 2 }, 400],
    ['empty', {}, 400],
  ])('that is %s is refused', async (_, body, status) => {
    const { call, audit } = adminWorld(EVERYTHING)
    expect((await call('PUT', '/snapshot', body)).status).toBe(status)
    expect(audit.after(0, 9)).toMatchObject([{ outcome: 'failed', status }])
  })
})

describe('the audit log', () => {
  it('shows the last entries, each chained to the one before', async () => {
    const { call, audit } = adminWorld()
    await call('GET', '/status', undefined, { authorization: 'Bearer wrong' })
    await call('POST', '/regions/eu/drain', {})
    const shown = (await (await call('GET', '/audit?after=1')).json()) as {
      seq: number
      entries: { seq: number; prev: string }[]
    }
    expect(shown.seq).toBe(2)
    expect(shown.entries).toHaveLength(1)
    const [first, second] = audit.after(0, 10)
    expect(second?.prev).toBe(first?.hash)
    expect(checkLine(JSON.stringify(second))).toMatchObject({ seq: 2, hash: second?.hash })
    expect((await call('GET', '/audit?limit=0')).status).toBe(400)
  })

  it('never holds a token', async () => {
    const { call, audit } = adminWorld()
    const wrong = 'a-wrong-token-of-length'
    await call('GET', '/status', undefined, { authorization: `Bearer ${wrong}` })
    await call('GET', `/status?token=${TOKEN}`)
    await call('GET', '/status', undefined, { authorization: `Bearer ${READER}` })
    const text = JSON.stringify(audit.after(0, 10))
    for (const token of [wrong, TOKEN, READER]) expect(text).not.toContain(token)
    expect(audit.after(0, 10).map((entry) => entry.status)).toEqual([401, 400])
  })
})

/** Config and rules replaced over the control port of a gateway that serves. */
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { DryRun, RulesetInfo, TextProblem } from '../../src/admin/publish-view.ts'
import { ConfigFile } from '../../src/runtimes/node/config-file.ts'
import { takeIntoUse, writeChecked } from '../../src/runtimes/node/publishing.ts'
import { ask, valuesOf } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { sumOf, type TestConfig, withDefaults, world } from '../harness/world.ts'

const TOKEN = 'a-token-of-some-length'
const authorized = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }

const answering = (body: string): TestConfig => ({ routes: [{ id: 'r', respond: { body } }] })

const rule = (id: string, expression: string) => ({
  id,
  description: id,
  expression,
  action: 'block',
})
const ruleset = (...rules: object[]) =>
  JSON.stringify({ ruleset: 'own', description: 'own', version: '1', rules }, null, 2)

function caller(control: string) {
  return async (method: string, path: string, body?: string, headers: object = {}) =>
    ask(`${control}${path}`, {
      method,
      headers: { ...authorized, ...headers } as Record<string, string>,
      ...(body === undefined ? {} : { body }),
    })
}

function etagOf({ fields }: { readonly fields: readonly string[] }): string {
  return valuesOf(fields, 'etag')[0] ?? ''
}

describe('the config', () => {
  it('is replaced as it was written, once, and only when it holds', async () => {
    const w = world()
    const token = { file: w.put('token', TOKEN) }
    const g = await w.gateway({ ...answering('first'), admin: { token } })
    const call = caller(g.running.control as string)
    const shown = await call('GET', '/config')
    const source = await call('GET', '/config/source')
    expect(etagOf(source)).toBe(etagOf(shown))
    const before = source.text
    expect(before).toBe(readFileSync(g.file, 'utf8'))

    const text = `// by hand\n${before.replace('first', 'second')}`
    const broken = before.replace('"respond"', '"respnd"')
    const checked = (await call('POST', '/config/validate', broken)).json<{
      valid: boolean
      problems: TextProblem[]
    }>()
    expect(checked).toMatchObject({
      valid: false,
      problems: [{ path: 'routes[0].respnd', hint: expect.stringContaining('respond'), line: 1 }],
    })
    // What only compiling finds.
    const expression = before.replace('"id":"r"', '"id":"r","match":"nonsense.field eq 1"')
    const compiled = (await call('POST', '/config/validate', expression)).json<typeof checked>()
    expect(compiled.problems).toMatchObject([{ path: 'routes[0].match' }])
    expect((await call('POST', '/config/validate', text)).json()).toEqual({
      valid: true,
      problems: [],
    })

    const refused = await call('PUT', '/config', expression, { 'if-match': etagOf(source) })
    expect([refused.status, readFileSync(g.file, 'utf8')]).toEqual([422, before])
    const published = await call('PUT', '/config', text, { 'if-match': etagOf(source) })
    expect([published.status, published.json()]).toMatchObject([200, { workers: 1, of: 1 }])
    expect((await ask(g.url)).text).toBe('second')
    expect(readFileSync(g.file, 'utf8')).toBe(text)
    expect(etagOf(await call('GET', '/config'))).toBe(etagOf(published))
    expect((await call('PUT', '/config', before, { 'if-match': etagOf(source) })).status).toBe(412)
    expect((await ask(g.url)).text).toBe('second')
    expect(readdirSync(g.folder).filter((name) => name.endsWith('.new'))).toEqual([])
    // The watch has seen the same, and does not load it twice.
    const { text: metrics } = await call('GET', '/metrics')
    expect(sumOf(metrics, 'meridian_config_reloads_total', { result: 'success' })).toBe(1)
  })

  it('that two replace at once is replaced by one of them, and a link stays one', async () => {
    const w = world()
    const real = w.put('real.json', '{"routes": []}')
    const link = join(w.folder, 'link.json')
    symlinkSync(real, link)
    const file = new ConfigFile(link)
    const { text: before, etag } = await import('../../src/runtimes/node/publishing.ts').then((m) =>
      m.sourceText(link),
    )
    const none = async () => []
    const results = await Promise.all(
      ['{"routes": [1]}', '{"routes": [2]}', '{"routes": [3]}'].map((text) =>
        writeChecked(file, link, text, [etag], none),
      ),
    )
    expect(results.map((one) => one.outcome)).toEqual(['written', 'stale', 'stale'])
    expect(readFileSync(real, 'utf8')).toBe('{"routes": [1]}')
    expect(results[0]).toMatchObject({ before })
  })

  it('that a process refuses after all is put back', async () => {
    const asked: string[] = []
    const answers: (string | null)[][] = [
      [null, 'it has no such file'],
      [null, null],
    ]
    const result = await takeIntoUse(
      {
        first: async ({ ask }) => asked.push(ask),
        all: async ({ ask }) => {
          asked.push(ask)
          return answers.shift() ?? []
        },
        order: async () => [],
        size: () => 2,
      },
      'new',
      { outcome: 'written', path: '/x', before: 'old' },
    )
    expect(result).toEqual({ outcome: 'failed', why: 'it has no such file' })
    expect(asked).toEqual(['publish-reload', 'publish-restore', 'publish-reload'])
  })
})

describe('rules', () => {
  it('are tried on recorded requests, and published', async () => {
    const w = world()
    const token = { file: w.put('token', TOKEN) }
    const path = w.put('own.json', ruleset(rule('old', 'http.request.uri.path contains "secret"')))
    const g = await w.gateway({
      ...answering('served'),
      admin: { token, recorded: 20 },
      waf: {
        rulesets: ['basic', { file: path }],
        exceptions: [{ ids: ['old'], when: 'http.host eq "trusted"' }],
      },
    })
    const call = caller(g.running.control as string)
    const { rulesets } = (await call('GET', '/rules')).json<{ rulesets: RulesetInfo[] }>()
    expect(rulesets).toMatchObject([
      { name: 'basic', source: 'built-in', writable: false, rules: 9 },
      { name: 'own', source: path, writable: true, rules: 1 },
    ])
    expect((await call('GET', '/rules/basic')).json()).toMatchObject({ ruleset: 'basic' })
    const current = await call('GET', '/rules/own')
    expect(etagOf(current)).toBe(`"${rulesets[1]?.etag}"`)

    for (const target of ['/a', '/admin?token=s3cret', '/secret', '/b']) {
      await ask(`${g.url}${target}`, { headers: { authorization: 'Bearer s3cret' } })
    }
    await until('the requests to be recorded', async () => {
      return (await call('GET', '/recorded')).json<{ size: number }>().size === 4
    })
    const recorded = await call('GET', '/recorded?limit=10')
    expect(recorded.json()).toMatchObject({ capacity: 20, requests: { length: 4 } })
    expect(recorded.text).not.toContain('s3cret')

    const next = ruleset(
      rule('old', 'http.request.uri.path contains "none"'),
      rule('new', 'http.request.uri.path contains "admin"'),
    )
    const dry = async (text: string) =>
      call('POST', '/rules/dry-run', JSON.stringify({ name: 'own', text }))
    const judged = (await dry(next)).json<DryRun>()
    expect(judged).toMatchObject({
      requests: 4,
      newlyBlocked: [{ method: 'GET', path: '/admin?token=***', route: 'r', rules: ['new'] }],
      newlyPassed: [{ path: '/secret', rules: ['old'] }],
      unchanged: 2,
    })
    expect((await ask(`${g.url}/secret`)).status).toBe(403)
    expect((await ask(`${g.url}/admin`)).status).toBe(200)

    const broken = next.replace('contains \\"admin\\"', 'contains 5')
    expect((await dry(broken)).json()).toMatchObject({
      status: 422,
      problems: [{ path: expect.stringMatching(/^rules\[1\]/), line: expect.any(Number) }],
    })
    const validate = async (text: string, name?: string) =>
      (await call('POST', '/rules/validate', JSON.stringify({ text, name }))).json<{
        problems: TextProblem[]
      }>().problems
    expect(await validate(broken)).toMatchObject([{ line: 15 }])
    // In its place the config speaks, too: it excepts a rule that would be gone.
    const without = ruleset(rule('new', 'true'))
    expect(await validate(without)).toEqual([])
    expect(await validate(without, 'own')).toMatchObject([
      { path: 'waf.exceptions[0].ids[0]', file: 'meridian.json' },
    ])

    const put = (text: string, tag: string, name = 'own') =>
      call('PUT', `/rules/${name}`, text, { 'if-match': tag })
    expect((await put(without, '*')).status).toBe(422)
    expect((await put(next, '*', 'basic')).status).toBe(409)
    expect((await put(next, '"other"')).status).toBe(412)
    expect(readFileSync(path, 'utf8')).toBe(current.text)
    expect((await put(next, etagOf(current))).status).toBe(200)
    expect((await ask(`${g.url}/secret`)).status).toBe(200)
    expect((await ask(`${g.url}/admin`)).status).toBe(403)
    expect(readFileSync(path, 'utf8')).toBe(next)
  })

  it('cannot be tried where nothing is recorded', async () => {
    const w = world()
    const g = await w.gateway({ ...answering('x'), waf: {} })
    const control = g.running.control as string
    const dry = await caller(control)('POST', '/rules/dry-run', '{"name":"managed","text":"{}"}')
    expect([dry.status, dry.text]).toEqual([409, expect.stringContaining('admin.recorded')])
    expect((await caller(control)('GET', '/config/source')).status).toBe(403)
  })
})

describe('in worker processes', { timeout: 60_000 }, () => {
  it('a config and a ruleset go into use in all of them', async () => {
    const w = world()
    const token = { file: w.put('token', TOKEN) }
    const rules = w.put('own.json', ruleset(rule('old', 'http.request.uri.path eq "/old"')))
    const config = (body: string) =>
      withDefaults(
        {
          ...answering(body),
          workers: 2,
          admin: { token, recorded: 50 },
          waf: { rulesets: [{ file: rules }] },
        },
        w.folder,
      )
    const file = w.put('meridian.json', JSON.stringify(config('first')))
    const run = program('cli/main.js', ['start', '--config', file])
    const url = await run.says(/listening on (http:\/\/\S+)/)
    const call = caller(await run.says(/control port on (http:\/\/\S+)/))
    const everywhere = async (path = '') =>
      new Set(
        await Promise.all(
          Array.from({ length: 10 }, async () => {
            const { status, text } = await ask(`${url}${path}`, {
              headers: { connection: 'close' },
            })
            return `${status} ${status === 200 ? text : ''}`
          }),
        ),
      )
    const source = await call('GET', '/config/source')
    const published = await call('PUT', '/config', JSON.stringify(config('second')), {
      'if-match': etagOf(source),
    })
    expect(published.json()).toMatchObject({ workers: 2, of: 2 })
    expect(await everywhere()).toEqual(new Set(['200 second']))
    expect((await call('GET', '/config')).text).toContain('second')

    await everywhere('/new')
    const next = ruleset(rule('new', 'http.request.uri.path eq "/new"'))
    const dry = await call('POST', '/rules/dry-run', JSON.stringify({ name: 'own', text: next }))
    expect(dry.json()).toMatchObject({ requests: 20, newlyBlockedCount: 10, unchanged: 10 })
    const put = await call('PUT', '/rules/own', next, { 'if-match': '*' })
    expect(put.json()).toMatchObject({ workers: 2, of: 2 })
    expect(await everywhere('/new')).toEqual(new Set(['403 ']))
    expect(await everywhere('/old')).toEqual(new Set(['200 second']))
    writeFileSync(file, '{')
    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
  })
})

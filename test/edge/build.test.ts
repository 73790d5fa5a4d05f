/** `meridian edge build`: what is refused while there is time, and that what it writes serves in workerd. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Miniflare } from 'miniflare'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { withoutDescriptions } from '../../src/cli/edge-shrink.ts'
import { checkAhead } from '../../src/config/check-ahead.ts'
import { openChecked } from '../../src/config/checked.ts'
import { ConfigError } from '../../src/config/errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import { meridian } from '../cli/cli.fixture.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meridian-edge-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function build(config: object, files: Readonly<Record<string, string>> = {}) {
  const path = join(folder, 'meridian.json')
  await writeFile(path, JSON.stringify(config, null, 2))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const out = join(folder, 'out')
  const result = await meridian(['edge', 'build', '--config', path, '--out', out, '--json'])
  return { ...result, out }
}

const POOLS = { app: { origins: [{ url: 'https://eu.example' }] } }

describe('meridian edge build', () => {
  it.each([
    {
      what: 'an origin by address',
      config: { pools: { app: { origins: [{ url: 'http://192.0.2.1' }] } } },
      path: 'pools.app.origins[0].url',
    },
    {
      what: 'a secret in a file',
      config: { pools: POOLS, waf: { challenge: { secret: { file: 'secret' } } } },
      path: 'waf.challenge.secret',
    },
    {
      what: 'a rule whose own test does not hold',
      config: { pools: POOLS, waf: { rulesets: [{ file: 'own.json' }] } },
      path: 'waf.rulesets[0].rules[0].tests[0]',
    },
    {
      what: 'a file that is not there',
      config: { pools: POOLS, lists: { bad: { type: 'ip', file: 'nowhere.txt' } } },
      path: 'lists.bad.file',
    },
  ])('refuses $what', async ({ config, path }) => {
    const own = {
      ruleset: 'own',
      rules: [
        {
          id: 'shop',
          description: 'The shop.',
          action: 'block',
          expression: 'http.request.uri.path eq "/shop"',
          tests: [{ request: { uri: '/other' }, match: true }],
        },
      ],
    }
    const { code, err } = await build(
      { ...config, routes: [{ pools: ['app'] }] },
      {
        'own.json': JSON.stringify(own),
        secret: 'x'.repeat(40),
      },
    )
    expect(err).toContain(path)
    expect(code).toBe(1)
  })

  it('empties no folder that holds anything but an earlier build', async () => {
    await mkdir(join(folder, 'out'), { recursive: true })
    const kept = join(folder, 'out', 'thesis.txt')
    await writeFile(kept, 'years of work')
    const config = { pools: POOLS, routes: [{ pools: ['app'] }] }
    const { code, err } = await build(config)
    expect([code, err.includes('--out')]).toEqual([1, true])
    expect(await readFile(kept, 'utf8')).toBe('years of work')
    await rm(kept)
    for (let i = 0; i < 2; i++) expect((await build(config)).code).toBe(0)
  })

  it('says which config is not there', async () => {
    const { code, err } = await meridian(['edge', 'build', '--config', join(folder, 'none.json')])
    expect([code, err.includes('none.json is not there')]).toEqual([1, true])
  })

  it('names the secrets, takes the files that a Worker needs, and no others', async () => {
    const { code, out, ...result } = await build(
      {
        listen: {
          addresses: [
            {
              port: 8443,
              protocol: 'https',
              tls: { certificates: [{ cert: 'cert.pem', key: 'key.pem' }] },
            },
          ],
        },
        pools: POOLS,
        lists: { bad: { type: 'ip', file: 'bad.txt' } },
        waf: { challenge: { secret: { env: 'CHALLENGE_SECRET' } } },
        routes: [{ pools: ['app'] }],
      },
      {
        'bad.txt': '192.0.2.66\n',
        'key.pem': 'key-of-this-test',
        'cert.pem': 'certificate-of-this-test',
      },
    )
    expect([code, result.err]).toEqual([0, ''])
    const written = await Promise.all(
      (await readdir(out)).map((name) => readFile(join(out, name), 'utf8')),
    )
    const all = written.join('')
    expect([all.includes('192.0.2.66'), all.includes('of-this-test')]).toEqual([true, false])
  })

  it('writes modules that serve: little at the start, the gateway with the first request', async () => {
    const eu = new URL(inject('origins').regions.eu)
    const { code, out, ...result } = await build({
      pools: { app: { origins: [{ url: `http://localhost:${eu.port}` }] } },
      limits: [
        { id: 'few', limit: 3, window: '1m', when: 'starts_with(http.request.uri.path, "/few")' },
      ],
      routes: [{ pools: ['app'], cache: {} }],
    })
    expect([code, result.err]).toEqual([0, ''])
    const report = JSON.parse(await readReport(out)) as {
      modules: { when: string; bytes: number }[]
    }
    const bytes = (when: string) =>
      report.modules.reduce((sum, module) => sum + (module.when === when ? module.bytes : 0), 0)
    expect(bytes('start')).toBeLessThan(bytes('request') / 10)
    expect(bytes('need')).toBeGreaterThan(0)

    const names = (await readdir(out)).filter((name) => name.endsWith('.js'))
    const ordered = ['worker.js', ...names.filter((name) => name !== 'worker.js')]
    const worker = new Miniflare({
      modules: await Promise.all(
        ordered.map(async (name) => ({
          type: 'ESModule' as const,
          path: name,
          contents: await readFile(join(out, name), 'utf8'),
        })),
      ),
      compatibilityDate: '2026-04-01',
      compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
      bindings: { PLATFORM: 'local', EDGE_TOKEN: 'the-token-of-this-test' },
      durableObjects: {
        COUNTERS: { className: 'CounterShard', useSQLite: true },
        PROBER: { className: 'HealthProber', useSQLite: true },
        NOTICES: { className: 'NoticeBoard', useSQLite: true },
      },
      kvNamespaces: ['CONFIG'],
      cf: false,
    })
    try {
      const { origin } = await worker.ready
      const ask = (path: string, init: RequestInit = {}) => fetch(`${origin}${path}`, init)
      expect(await (await ask('/page/1')).text()).toBe('eu /page/1')
      expect((await ask('/?id=1%27%20union%20select%20null--')).status).toBe(403)
      const statuses: number[] = []
      for (let i = 0; i < 5; i++) {
        const response = await ask('/few')
        await response.text()
        statuses.push(response.status)
      }
      expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(2)
      const headers = { authorization: 'Bearer the-token-of-this-test' }
      const health = await ask('/.meridian/health', { headers })
      expect(await health.json()).toMatchObject({ config: { version: 'bundled', lastError: null } })
      const explained = await ask('/.meridian/explain?url=/page/1', { headers })
      expect(await explained.text()).toContain('app')
    } finally {
      await worker.dispose()
    }
  })
})

/** Sizes by module, as `--json` prints them. */
async function readReport(out: string): Promise<string> {
  const { out: text } = await meridian([
    ...['edge', 'build', '--config', join(folder, 'meridian.json'), '--out', out, '--json'],
  ])
  return text
}

describe('a config that was checked ahead', () => {
  it.each(['minimal', 'regions', 'hybrid', 'full', 'fleet', 'login', 'starter'])(
    'is the same as its text: %s.json',
    async (name) => {
      const text = await readFile(new URL(`../../examples/${name}.json`, import.meta.url), 'utf8')
      const readFileAs = () => ''
      const loaded = await loadConfig(text, { readFile: readFileAs })
      const checked = checkAhead(text, loaded, '1')
      const revived = JSON.parse(JSON.stringify(checked)) as typeof checked
      const opened = await openChecked(revived, Object.fromEntries(loaded.files), () => 'a secret')
      expect(opened.config).toEqual(loaded.config)
      expect(opened.lists).toEqual(loaded.lists)
      expect(opened.files).toEqual(loaded.files)
      for (const { ref } of checked.secrets) expect(opened.secrets.get(ref)).toBe('a secret')
    },
  )

  it('says where the secret is named that is missing', async () => {
    const text = `{
      "pools": { "app": { "origins": [{ "url": "https://eu.example" }] } },
      "waf": { "challenge": { "secret": { "env": "CHALLENGE_SECRET" } } },
      "routes": [{ "pools": ["app"] }]
    }`
    const checked = checkAhead(text, await loadConfig(text), '1')
    const opening = openChecked(checked, {}, () => undefined)
    await expect(opening).rejects.toThrow(ConfigError)
    await expect(opening).rejects.toMatchObject({
      problems: [
        {
          path: 'waf.challenge.secret',
          line: 3,
          message: 'the environment variable CHALLENGE_SECRET is not set',
        },
      ],
    })
  })
})

it.each([
  [
    `v.pipe(v.string(), v.description('a'), v.x('b'))`,
    `v.pipe(v.string(), v.description(''), v.x('b'))`,
  ],
  [`v.description('it\\'s (so)' + "and \\"so\\"")`, `v.description('')`],
  ['v.description(`a ${' + 'b} c`)', 'v.description(`a ${' + 'b} c`)'],
  ['v.description(text)', 'v.description(text)'],
  ["v.description('a', )v.description('b')", "v.description('')v.description('')"],
])('leaves out of %s what is a text alone', (code, expected) => {
  expect(withoutDescriptions(code)).toBe(expected)
})

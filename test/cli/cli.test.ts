import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cutShort, folderWith, inProcess, meridian } from './cli.fixture.ts'

const GOOD = `{
  // a comment
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [{ "id": "all", "pools": ["app"] }],
}`
const BAD = `{
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [{ "id": "all", "pools": ["app"], "cahce": false }],
  "shutdown": { "drain": 30 }
}`
const SECRET = `{
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [{ "pools": ["app"] }],
  "telemetry": { "mask": { "subjectKey": { "env": "MERIDIAN_TEST_KEY" } } }
}`

const TYPO = `{
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [{ "match": "http.hst eq \\"a\\"", "pools": ["app"] }]
}`

let folder: Awaited<ReturnType<typeof folderWith>>
beforeAll(async () => {
  folder = await folderWith({
    'good.json': GOOD,
    'bad.json': BAD,
    'secret.json': SECRET,
    'typo.json': TYPO,
    'not.mmdb': 'no',
  })
})
afterAll(() => folder.remove())
const run = (args: readonly string[], env: Record<string, string> = {}) =>
  meridian(args, { cwd: folder.path, env })
const file = (name: string) => join(folder.path, name)

describe('the command', () => {
  it.each([
    [['chek'], 2, 'Did you mean check?'],
    [['--help'], 0, ''],
  ] as const)('%s: exit code %d', async (args, code, err) => {
    const result = await run(args)
    expect(result.err).toContain(err)
    expect(result.code).toBe(code)
  })
})

describe('meridian check', () => {
  it('says what is in a config that holds', async () => {
    const { code, out, err } = await run(['check', '--config', 'good.json'])
    expect(err).toBe('')
    expect(out).toContain('good.json is valid')
    expect(out).toMatch(/route all +everything -> pools app/)
    expect(code).toBe(0)
  })

  it('says everything that is wrong with one that does not, with places and hints', async () => {
    const { code, out, err } = await run(['check', '--config', 'bad.json'])
    expect(out).toBe('')
    expect(err).toContain(
      'bad.json:3:47 routes[0].cahce: unknown key "cahce"\n  hint: did you mean "cache"?',
    )
    expect(err).toContain('bad.json:4:26 shutdown.drain: a duration such as')
    expect(err).toContain('2 problems')
    expect(code).toBe(1)
  })

  it('says both as JSON', async () => {
    const good = await inProcess(['check', '-c', file('good.json'), '--json'])
    expect(JSON.parse(good.out)).toMatchObject({
      ok: true,
      summary: { listen: ['http://*:8080'], pools: [{ name: 'app' }] },
    })
    const bad = await inProcess(['check', '-c', file('bad.json'), '--json'])
    expect(JSON.parse(bad.out)).toMatchObject({
      ok: false,
      problems: [
        { path: 'routes[0].cahce', line: 3, column: 47, hint: 'did you mean "cache"?' },
        { path: 'shutdown.drain', line: 4, column: 26 },
      ],
    })
    expect([good.code, bad.code]).toEqual([0, 1])
  })

  it('wants the environment variables that the config names', async () => {
    const without = await inProcess(['check', '-c', file('secret.json')])
    expect(without.err).toContain('the environment variable MERIDIAN_TEST_KEY is not set')
    expect(without.code).toBe(1)
    const value = 'a-long-enough-secret-value'
    const given = await run(['check', '-c', 'secret.json'], { MERIDIAN_TEST_KEY: value })
    expect(given.code).toBe(0)
    expect(given.out + given.err).not.toContain(value)
  })

  it('compiles what is in it: expressions have their place and their hint', async () => {
    const { code, err } = await inProcess(['check', '-c', file('typo.json')])
    expect(err).toMatch(/typo\.json:3:25 routes\[0\]\.match: .*http\.hst/)
    expect(err).toContain('http.host')
    expect(code).toBe(1)
  })

  it.each([
    ['none.json', 'there is no config file'],
    ['.', 'it is a folder'],
  ])('cannot read %s', async (name, message) => {
    const { code, err } = await inProcess(['check', '-c', file(name)])
    expect(err).toContain(message)
    expect(err).toContain('hint: ')
    expect(code).toBe(1)
  })
})

describe('meridian init', () => {
  it('writes a commented config that check accepts, and never over another', async () => {
    const first = await run(['init', 'new.json'])
    expect(first.out).toContain('wrote new.json')
    expect(first.code).toBe(0)
    const text = await readFile(join(folder.path, 'new.json'), 'utf8')
    expect(text).toContain('// ')
    expect(text).toContain('node_modules/meridian-gateway/meridian.schema.json')
    expect((await inProcess(['check', '-c', file('new.json')])).code).toBe(0)

    const again = await run(['init', 'new.json'])
    expect(again.err).toContain('new.json is already there')
    expect(again.code).toBe(1)
    expect((await inProcess(['init', file('new.json'), '--force'])).code).toBe(0)
    const nowhere = await inProcess(['init', file('no/such/folder.json')])
    expect(nowhere.err).toContain('cannot be written')
    expect(nowhere.code).toBe(1)
  })
})

describe('meridian schema', () => {
  it('prints the published schema', async () => {
    const { code, out } = await run(['schema'])
    expect(out).toBe(await readFile(new URL('../../meridian.schema.json', import.meta.url), 'utf8'))
    expect(code).toBe(0)
  })
})

describe('meridian explain', () => {
  it('tells each step, for people and as JSON', async () => {
    const args = ['explain', 'get', 'http://example.com/a?b=c', '-c', 'good.json']
    const text = await run([...args, '--ip', '194.25.0.60'])
    expect(text.out).toContain('GET example.com/a?b=c')
    expect(text.out).toMatch(/locate .*DE/)
    expect(text.out).toMatch(/route .*all/)
    expect(text.code).toBe(0)
    const json = await run([...args, '--json', '-H', 'x-test: 1'])
    const explanation = JSON.parse(json.out)
    expect(explanation.answer.status).toBe(200)
    expect(explanation.steps.map((step: { step: string }) => step.step)).toContain('steer')
    expect(explanation.request.headers).toContainEqual(['x-test', '1'])
  })

  it('needs a config that holds', async () => {
    const { code, err } = await inProcess(['explain', 'GET', '/', '-c', file('bad.json')])
    expect(err).toContain('2 problems')
    expect(code).toBe(1)
  })
})

describe('meridian start', () => {
  it('says which port is in use, and gives up', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const text = GOOD.replace(
      '{',
      `{ "listen": { "addresses": [{ "address": "127.0.0.1", "port": ${port} }] }, "admin": { "enabled": false },`,
    )
    await writeFile(join(folder.path, 'taken.json'), text)
    const { code, err } = await run(['start', '-c', 'taken.json'])
    taken.close()
    expect(err).toMatch(new RegExp(`${port}.* in use`))
    expect(code).toBe(1)
  })

  it.each([
    ['bad.json', '2 problems'],
    ['none.json', 'there is no config file'],
    ['secret.json', 'MERIDIAN_TEST_KEY is not set'],
  ])('does not start with %s', async (name, message) => {
    const { code, err } = await inProcess(['start', '-c', file(name)])
    expect(err).toContain(message)
    expect(code).toBe(1)
  })
})

describe('meridian geo', () => {
  it('tells where addresses are', async () => {
    const { code, out } = await run(['geo', '194.25.0.60', '10.0.0.1', '::ffff:194.25.0.60'])
    const lines = out.trimEnd().split('\n')
    expect(lines[0]).toMatch(/^194\.25\.0\.60 +DE +EU +EU +.*Germany$/)
    expect(lines[1]).toMatch(/^10\.0\.0\.1 +unknown$/)
    expect(lines[2]).toBe(lines[0])
    expect(code).toBe(0)
  })

  it('tells it as JSON', async () => {
    const { out } = await inProcess(['geo', '194.25.0.60', '10.0.0.1', '--json'])
    expect(JSON.parse(out)).toMatchObject([
      { ip: '194.25.0.60', country: 'DE', name: 'Germany', europeanUnion: true },
      { ip: '10.0.0.1', country: null, latitude: null },
    ])
  })

  it.each([
    ['none.mmdb', 'there is no such file'],
    ['not.mmdb', 'not.mmdb: '],
  ])('refuses the database %s', async (name, message) => {
    const { code, err } = await inProcess(['geo', '1.1.1.1', '--database', file(name)])
    expect(err).toContain(message)
    expect(code).toBe(1)
  })
})

describe('a reader that leaves early', () => {
  it('is not an error', async () => {
    expect(await cutShort(['schema'])).toEqual({ code: 0, err: '' })
  })
})

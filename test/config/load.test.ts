import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConfigError, type ConfigProblem } from '../../src/config/errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import { shape, syntax, values } from './mistakes-of-form.fixture.ts'
import { references, secrets } from './mistakes-of-meaning.fixture.ts'
import { LEAK, POOLS, ROUTES, withRest } from './pieces.fixture.ts'

const FILES: Readonly<Record<string, string>> = {
  'good.txt': '10.0.0.0/8\n# all\n',
  'bad.txt': '10.0.0.0/8\n\n10.0.0.1/8\nnonsense',
}

async function problemsOf(text: string): Promise<readonly ConfigProblem[]> {
  try {
    await loadConfig(text, {
      file: 'meridian.json',
      readSecret: (ref) => {
        if ('file' in ref && ref.file === '/locked') throw new Error('permission denied')
        return 'env' in ref && ref.env === 'EMPTY' ? '' : undefined
      },
      readFile: (path) => FILES[path],
    })
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

describe.each([
  ['syntax', syntax],
  ['shape', shape],
  ['values', values],
  ['secrets and files', secrets],
  ['references', references],
])('a config with a mistake: %s', (_, cases) => {
  it.each(cases)('$name', async ({ text, path, message, hint, at }) => {
    const problems = await problemsOf(text)
    const said = problems.map((problem) => `${problem.path}: ${problem.message}`)
    const found = problems.find(
      (problem) =>
        problem.path === path &&
        (typeof message === 'string'
          ? problem.message.includes(message)
          : message.test(problem.message)),
    )
    expect(found, said.join('\n')).toBeDefined()
    expect(problems.length, said.join('\n')).toBeLessThanOrEqual(2)
    if (hint !== undefined) expect(found?.hint).toContain(hint)
    if (at !== undefined) expect(`${found?.line}:${found?.column}`).toBe(at)
    expect(found?.line).toBeGreaterThan(0)
    expect(found?.file).toBe('meridian.json')
    expect(JSON.stringify(problems)).not.toContain(LEAK)
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })
})

describe('a config with several mistakes', () => {
  const text = `{
  "listen": {
    "addresses": [{ "port": "80" }],
    "timeuots": {}
  },
  "pools": { "app": { "origins": [{ "url": "ftp://a" }], "colour": 1, "flavour": 2 } },
  "routes": [{ "pools": "app" }]
}`

  it('tells all of them at once, in the order of the file, each with line and column', async () => {
    const problems = await problemsOf(text)
    expect(problems.map(({ path, line, column }) => `${line}:${column} ${path}`)).toEqual([
      '3:29 listen.addresses[0].port',
      '4:5 listen.timeuots',
      '6:44 pools.app.origins[0].url',
      '6:58 pools.app.colour',
      '6:71 pools.app.flavour',
      '7:25 routes[0].pools',
    ])
  })

  it('has the same places after a byte order mark and with Windows line ends', async () => {
    const plain = await problemsOf(text)
    const windows = await problemsOf(`\ufeff${text.replaceAll('\n', '\r\n')}`)
    expect(windows).toEqual(plain)
  })
})

describe('a config that holds', () => {
  it('may have a byte order mark, comments and trailing commas', async () => {
    expect(
      await problemsOf(`\ufeff// first\n{${POOLS}, /* then */ "routes": [{"pools": ["app",]},],}`),
    ).toEqual([])
  })

  it('is as it was written, with defaults and in units', async () => {
    const { config, lists } = await loadConfig(
      withRest('"shutdown": {"drain": "1.5m"}, "lists": {"a": {"type": "ip", "file": "good.txt"}}'),
      { readFile: (path) => FILES[path] },
    )
    expect(config.shutdown).toEqual({ delay: 0, drain: 90_000 })
    expect(config.listen.limits.body).toBe(100 * 1024 * 1024)
    expect(config.pools.app?.origins[0]?.id).toBe('127.0.0.1:3000')
    expect(config.routes[0]?.id).toBe('route-1')
    expect(lists.get('a')).toEqual({ type: 'ip', values: ['10.0.0.0/8'] })
  })

  it('keeps secrets out of the config and gives them to who asks', async () => {
    const { config, secrets } = await loadConfig(
      withRest('"telemetry": {"mask": {"subjectKey": {"env": "KEY"}}}'),
      { readSecret: (ref) => ('env' in ref && ref.env === 'KEY' ? LEAK : undefined) },
    )
    expect(JSON.stringify(config)).not.toContain(LEAK)
    expect(secrets.get({ env: 'KEY' })).toBe(LEAK)
    expect(JSON.stringify(secrets)).not.toContain(LEAK)
    expect(() => secrets.get({ env: 'OTHER' })).toThrow(RangeError)
  })

  it('knows the places of what compiling finds', async () => {
    const loaded = await loadConfig(
      `{"pools": {"a.b": {"origins": [{"url": "http://a"}]}},\n"routes": [\n{"match": "x y", "pools": ["a.b"]}]}`,
      { file: 'f.json' },
    )
    const collector = loaded.report()
    collector.report('routes[0].match', 'does not parse')
    collector.report('pools.a.b.origins[0].url', 'is not nice', 'try another')
    expect(() => collector.throwIfAny()).toThrow(ConfigError)
    expect(collector.problems).toMatchObject([
      { file: 'f.json', line: 3, column: 11 },
      { line: 1, column: 40, hint: 'try another' },
    ])
  })
})

describe('any text at all', () => {
  it('loads or gives problems, and never throws anything else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), async (text) => {
        await problemsOf(text)
      }),
      { numRuns: 300 },
    )
    await fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 6 }), async (text) => {
        const problems = await problemsOf(text)
        expect(problems.length).toBeGreaterThan(0)
      }),
      { numRuns: 300 },
    )
  })

  it('breaks well wherever it is cut', async () => {
    const text = `{${POOLS}, ${ROUTES}}`
    for (let end = 0; end < text.length; end++) {
      expect((await problemsOf(text.slice(0, end))).length, text.slice(0, end)).toBeGreaterThan(0)
    }
  })
})

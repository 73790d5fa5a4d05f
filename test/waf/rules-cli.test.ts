/** `meridian rules`: its verbs, in process. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folderWith, inProcess as meridian } from '../cli/cli.fixture.ts'

const OWN = `{
  "ruleset": "own",
  "rules": [
    {
      "id": "office",
      "expression": "http.request.uri.path eq \\"/admin\\" and not ip.src in $office",
      "action": "block",
      "tests": [
        { "request": { "uri": "/admin" }, "match": true },
        { "request": { "uri": "/admin", "ip": "203.0.113.9" }, "match": true }
      ]
    }
  ]
}`
const WRONG = `{
  "ruleset": "wrong",
  "rules": [
    { "id": "a", "expression": "http.hst eq \\"x\\"", "action": "block" },
    { "id": "b", "expression": "ssl",
      "action": "explode" }
  ]
}`
const CONFIG = `{
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [{ "pools": ["app"] }],
  "lists": { "office": { "type": "ip", "values": ["203.0.113.0/24"] } },
  "waf": { "rulesets": ["basic"] }
}`
const RULES = `SecRule ARGS "@pmFromFile words.data" \\
  "id:100,phase:2,deny,status:406,log,msg:'A word',severity:'CRITICAL'"
`
const log = (path: string, rules: string[], targets: string[], more = {}) =>
  JSON.stringify({ path, rules, rule_targets: targets, blocked: true, ...more })
const LOG = [
  log('/cms', ['942100', '949110'], ['ARGS:body', 'TX:score']),
  log('/cms', ['942100'], ['ARGS:body'], { weight: 9 }),
  log('/a', ['sql'], ['http.request.uri.query'], { blocked: false }),
  ...Array.from({ length: 12 }, (_, i) => log(`/p${i}`, ['sql'], ['http.request.uri.query'])),
  'not json',
  '{"path":"/","status":200}',
  log('/x', ['invalid-body'], [], { weight: 50 }),
].join('\n')

let folder: Awaited<ReturnType<typeof folderWith>>
beforeAll(async () => {
  folder = await folderWith({
    'own.json': OWN,
    'wrong.json': WRONG,
    'broken.json': '{\n  "rules": [\n',
    'meridian.json': CONFIG,
    'one.conf': RULES,
    'words.data': '# words\nforbidden\n',
    'access.log': LOG,
  })
})
afterAll(() => folder.remove())
const file = (name: string) => join(folder.path, name)

describe('meridian rules import', () => {
  it('writes JSON that lints, counts and blocks', async () => {
    const imported = await meridian(['rules', 'import', 'crs', '--from', folder.path])
    expect(imported.code).toBe(0)
    expect(imported.err).toContain('1 rules and 1 lists from 1 files')
    expect(JSON.parse(imported.out)).toMatchObject({ ruleset: 'owasp-crs', rules: [{ id: 100 }] })

    const out = file('crs.json')
    await meridian(['rules', 'import', 'crs', '--from', folder.path, '--out', out])
    expect(await readFile(out, 'utf8')).toBe(imported.out)
    expect(await meridian(['rules', 'lint', out])).toMatchObject({ code: 0, err: '' })
    expect((await meridian(['rules', 'stats', out])).out).toMatch(/phase 2 +1\n/)
    const explained = await meridian([
      ...['rules', 'explain', 'POST', '/x', '--rules', out, '--json'],
      ...['-H', 'content-type: application/x-www-form-urlencoded', '--body', 'q=forbidden+fruit'],
    ])
    expect(JSON.parse(explained.out)).toMatchObject({
      block: { status: 406, rule: '100' },
      verdicts: [{ rule: '100', target: 'ARGS:q', match: 'forbidden fruit' }],
    })
  })

  it('names file and line of what it does not know', async () => {
    const bad = await folderWith({
      'a.conf': '# one\n\nSecRule ARGS "@frobnicate x" "id:1,deny"\n',
    })
    const result = await meridian(['rules', 'import', 'crs', '--from', bad.path])
    expect(result).toMatchObject({ code: 1, out: '' })
    expect(result.err).toContain(`${join(bad.path, 'a.conf')}:3: `)
    await bad.remove()
  })

  it('says when there is nothing to import', async () => {
    expect(await meridian(['rules', 'import', 'crs', '--from', file('none')])).toMatchObject({
      code: 1,
      err: expect.stringContaining('cannot be read'),
    })
  })
})

describe('meridian rules lint', () => {
  it('gives each problem its file, line and hint', async () => {
    const { code, err } = await meridian(['rules', 'lint', file('wrong.json'), file('broken.json')])
    expect(code).toBe(1)
    expect(err).toContain(`${file('wrong.json')}:6:17 rules[1].action: `)
    expect(err).toContain(`${file('broken.json')}:`)
  })

  it('knows lists only of the config that it is given', async () => {
    const alone = await meridian(['rules', 'lint', file('own.json')])
    expect(alone.err).toMatch(/own\.json:6:21 rules\[0\]\.expression: .*\$?office/)
    expect(alone.code).toBe(1)
    const config = ['--config', file('meridian.json')]
    const { code, out } = await meridian(['rules', 'lint', file('own.json'), ...config])
    expect([code, out]).toEqual([0, `${file('own.json')}: 1 rule, no problems\n`])
  })

  it('fails on a file that is not there', async () => {
    const { code, err } = await meridian(['rules', 'lint', file('none.json')])
    expect(code).toBe(1)
    expect(err).toContain('hint: give a file, or managed or basic')
  })
})

describe('meridian rules test', () => {
  it('names the tests that do not hold', async () => {
    const config = ['--config', file('meridian.json')]
    const { code, out, err } = await meridian(['rules', 'test', file('own.json'), ...config])
    expect([code, out]).toEqual([1, `${file('own.json')}: 2 tests, 1 do not\n`])
    expect(err).toContain(`${file('own.json')}:10:9 rules[0].tests[1]: rule "office"`)
  })

  it('runs those of the rulesets that come with the gateway', async () => {
    const { code, out } = await meridian(['rules', 'test'])
    expect(code).toBe(0)
    expect(out).toMatch(/managed: \d+ tests, all hold\nbasic: \d+ tests, all hold/)
  })
})

describe('meridian rules explain', () => {
  it("asks the config's rulesets, all of them", async () => {
    const attack = "/items?id=1'+or+'1'='1&file=../../etc/passwd"
    const config = ['--config', file('meridian.json')]
    const { code, out } = await meridian(['rules', 'explain', 'GET', attack, ...config])
    expect(code).toBe(0)
    expect(out).toMatch(/path-traversal +basic +block +http\.request\.uri/)
    expect(out).toMatch(/sql-injection +basic/)
    expect(out).toContain('the request ends here: block 403 by path-traversal of basic')
    const fine = await meridian(['rules', 'explain', 'GET', '/about', ...config])
    expect(fine.out).toBe('route route-1: enforce\n\nno rule matches\n\nthe request passes\n')
  })

  it('asks the response rules and the route, and says why a rule was not asked', async () => {
    const rules = [
      { id: 'off', expression: 'ssl', action: 'block', enabled: false },
      { id: 'let-off', expression: 'ssl', action: 'block' },
      {
        id: 'quiet',
        expression: 'http.request.uri.path contains "/cms"',
        action: 'skip',
        skip: { ids: ['left-out'] },
      },
      { id: 'left-out', expression: 'ssl', action: 'block' },
      { id: 'stop', expression: 'http.request.uri.path eq "/cms/stop"', action: 'block' },
      { id: 'behind', expression: 'http.host eq "x"', action: 'log' },
      { id: 'tea', expression: 'http.response.code eq 418', action: 'block' },
    ]
    const sec = (id: number, more: object) => ({
      ...{ id, phase: 2, targets: ['ARGS'], operator: { name: 'contains', argument: 'x' } },
      ...{ action: 'block', msg: 'm', ...more },
    })
    const seclang = {
      ruleset: 'sec',
      rules: [
        sec(1, { ctl: [['ruleRemoveById', '3']], skipAfter: 'END', action: 'pass' }),
        sec(2, {}),
        { marker: 'END' },
        sec(3, {}),
        sec(4, {
          tags: ['paranoia-level/3'],
          targets: ['TX:LEVEL'],
          operator: { name: 'ge', argument: '3' },
        }),
        sec(5, { action: 'deny' }),
        sec(6, { phase: 4, targets: ['RESPONSE_BODY'] }),
        sec(7, { enabled: false }),
      ],
    }
    const waf = JSON.stringify({
      rulesets: [{ file: './own-ones.json' }, { file: './sec.json' }],
      responses: { body: true },
      exceptions: [{ ids: ['let-off'] }, { when: 'ssl', ids: [5], target: 'ARGS:a' }],
    })
    await writeFile(file('own-ones.json'), JSON.stringify({ ruleset: 'ones', rules }))
    await writeFile(file('sec.json'), JSON.stringify(seclang))
    await writeFile(file('routes.json'), config(waf, '{ "exceptions": [{ "ids": [2] }] }'))
    const explain = async (url: string, ...more: string[]) => {
      const at = ['rules', 'explain', 'GET', url, '-c', file('routes.json')]
      return meridian([...at, ...more])
    }
    const fates = async (url: string, ...more: string[]) => {
      const answer = JSON.parse((await explain(url, '--json', ...more)).out)
      const told = answer.rules.map(
        (one: { rule: string; fate: string; why: string }) =>
          [one.rule, `${one.fate} ${one.why}`.trim()] as const,
      )
      return { route: answer.route, block: answer.block?.rule, ...Object.fromEntries(told) }
    }

    const noResponse = 'not-reached there is no response of which it could be asked'
    expect(await fates('https://h/cms?a=x')).toEqual({
      route: 'cms',
      block: undefined,
      off: 'disabled in its ruleset or by an override',
      'let-off': 'excepted waf.exceptions[0]',
      quiet: 'matched',
      'left-out': 'skipped by the rule quiet',
      stop: 'no-match',
      behind: 'no-match',
      tea: noResponse,
      1: 'matched',
      2: 'excepted routes[0].waf.exceptions[0]',
      3: 'skipped the rule 1 takes it out',
      4: "paranoia-level 3 is above the config's 1",
      5: 'no-match without ARGS:a: waf.exceptions[1]',
      6: noResponse,
      7: 'disabled in its ruleset or by an override',
    })
    expect(await fates('https://h/cms?a=x', '--route', 'rest')).toMatchObject({
      ...{ route: 'rest', 2: 'skipped the rule 1 jumps over it' },
    })
    const stopped = await fates('https://h/cms/stop?a=1')
    const ended = 'not-reached the rule stop ends the request'
    expect(stopped).toMatchObject({
      block: 'stop',
      stop: 'matched',
      behind: ended,
      tea: ended,
      3: ended,
    })
    expect(await fates('https://h/y?a=x', '--status', '418')).toMatchObject({
      ...{ route: 'rest', block: 'left-out' },
    })
    const response = [
      '--route',
      'cms',
      '--status',
      '418',
      '--response-header',
      'content-type: text/plain',
    ]
    expect(await fates('https://h/cms', ...response)).toMatchObject({
      ...{ block: 'tea', tea: 'matched', 6: 'not-reached the rule tea ends the request' },
    })
    expect(await fates('https://h/cms', '--response-body', 'a x')).toMatchObject({
      6: 'matched',
      tea: 'no-match',
    })

    const { out } = await explain('https://h/cms?a=x')
    expect(out).toContain('route cms: enforce\n')
    expect(out).toContain(
      'rules that were not asked\n  disabled, in its ruleset or by an override: off, 7\n',
    )
    expect((await explain('/cms', '--all')).out).toMatch(
      /left-out +ones +request +skipped +by the rule quiet\n/,
    )
    const nowhere = await explain('/', '--route', 'none')
    expect([nowhere.code, nowhere.err]).toEqual([
      2,
      expect.stringContaining('the routes are cms, rest'),
    ])
    expect((await explain('/', '--status', '99')).code).toBe(2)
    expect((await meridian(['rules', 'explain', 'GET', '/', '--route', 'cms'])).code).toBe(2)
  })
})

const config = (waf: string, route = '{}') => `{
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [
    { "id": "cms", "match": { "path": "/cms" }, "pools": ["app"], "waf": ${route} },
    { "id": "rest", "pools": ["app"] }
  ],
  "waf": ${waf}
}`
const DIFF_RULES = `{
  "ruleset": "site",
  "rules": [
    { "id": "admin", "expression": "http.request.uri.path eq \\"/admin\\"", "action": "log" },
    { "id": "word", "expression": "http.request.body.raw contains \\"bad\\"", "action": "score", "score": 4 },
    { "id": "teapot", "expression": "http.response.code eq 418", "action": "block" }
  ]
}`
const requests = [
  { url: 'https://example.com/admin?token=hunter2hunter2' },
  { url: '/cms?f=../../etc/passwd', headers: { accept: ['a', 'b'] } },
  { method: 'POST', url: '/form', headers: [['content-type', 'text/plain']], body: 'bad' },
  { method: 'POST', url: '/form', body_base64: Buffer.from('bad').toString('base64'), weight: 4 },
  { url: '/tea', response: { status: 418 } },
  { method: 'GET', scheme: 'https', host: 'h', path: '/admin', client: '192.0.2.0/24', weight: 10 },
  { url: '/fine' },
]

describe('meridian rules diff', () => {
  const own = (overrides: object[] = []) => JSON.stringify({ file: './site.json', overrides })
  beforeAll(async () => {
    const changed = [
      { ids: ['admin', 'word'], action: 'block' },
      { ids: ['teapot'], enabled: false },
    ]
    for (const [name, text] of Object.entries({
      'site.json': DIFF_RULES,
      'before.json': config(`{ "rulesets": ["basic", ${own()}] }`),
      'after.json': config(`{ "rulesets": ["basic", ${own(changed)}] }`, '{ "mode": "simulate" }'),
      'requests.ndjson': requests.map((one) => JSON.stringify(one)).join('\n'),
      'bad.ndjson': '{"url":"/"}\n\nnope\n{"url":"x"}\n{"path":"/"}\n[]\n{"url":"/","body":5}\n',
    })) {
      await writeFile(file(name), text)
    }
  })
  const diff = (to: string, log: string, ...more: string[]) =>
    meridian(
      ['rules', 'diff', '--config', file('before.json'), '--with', file(to), file(log)].concat(
        more,
      ),
    )

  it('names what would be judged otherwise, by rule, and counts requests', async () => {
    const { code, out, err } = await diff('after.json', 'requests.ndjson', '--json')
    expect([code, err]).toEqual([3, ''])
    const found = JSON.parse(out)
    expect(found).toMatchObject({
      ...{ requests: 19, partial: 10, refused: 0 },
      ...{ newlyBlocked: 16, newlyPass: 2, blockedOtherwise: 0, otherScore: 5 },
    })
    const brief = found.differences.map(
      (one: { change: string; rule: string; requests: number }) =>
        `${one.change} ${one.rule} ${one.requests}`,
    )
    expect(brief).toEqual([
      'newly-blocked admin 11',
      'newly-blocked word 5',
      'newly-passes path-traversal 1',
      'newly-passes teapot 1',
      'newly-matches sensitive-file 1',
      'no-longer-matches teapot 1',
      'other-action admin 11',
      'other-action word 5',
      'other-action path-traversal 1',
    ])
    expect(found.differences[0].samples).toEqual([
      {
        line: 1,
        method: 'GET',
        url: 'https://example.com/admin?token=***',
        what: 'passes -> block 403 by admin',
      },
      { line: 6, method: 'GET', url: 'https://h/admin', what: 'passes -> block 403 by admin' },
    ])
    const text = await diff('after.json', 'requests.ndjson', '--samples', '1')
    expect(text.out).toContain('19 requests: 16 newly blocked, 2 newly pass')
    expect(text.out).toMatch(/newly-blocked +word +site +5\n +line 3: POST \/form +passes -> block/)
    expect(text.out).not.toContain('line 6:')
  })

  it('ends with 0 where nothing differs', async () => {
    const same = await diff('before.json', 'requests.ndjson')
    expect(same).toMatchObject({ code: 0, err: '' })
    expect(same.out).toContain('0 newly blocked, 0 newly pass')
  })

  it('names the lines that are no requests', async () => {
    const { code, out, err } = await diff('after.json', 'bad.ndjson')
    expect([code, out]).toEqual([1, ''])
    const lines = err.split('\n').map((line) => line.replace(/^.*bad\.ndjson:/, ''))
    expect(lines.slice(0, 5)).toEqual([
      '3: this is not JSON',
      '4: url: a URL with a path, or a path, is expected',
      expect.stringMatching(/^5: method: /),
      '6: a JSON object is expected',
      '7: body: a text is expected',
    ])
    expect((await diff('after.json', 'none.ndjson')).err).toContain('cannot be read')
    expect((await diff('none.json', 'requests.ndjson')).code).toBe(1)
    expect(
      (await meridian(['rules', 'diff', '--config', file('before.json'), file('bad.ndjson')])).code,
    ).toBe(2)
  })
})

describe('meridian rules tune', () => {
  it('suggests exceptions as narrow as the log allows', async () => {
    const { code, out, err } = await meridian(['rules', 'tune', file('access.log'), '--json'])
    expect([code, err]).toEqual([0, '1 lines are no JSON access log lines\n'])
    expect(JSON.parse(out)).toEqual([
      {
        rule: 'sql',
        target: 'http.request.uri.query',
        requests: 13,
        blocked: 12,
        paths: 13,
        exception: { ids: ['sql'] },
      },
      {
        rule: '942100',
        target: 'ARGS:body',
        requests: 10,
        blocked: 10,
        paths: 1,
        exception: {
          when: 'http.request.uri.path eq "/cms"',
          ids: [942100],
          target: 'ARGS:body',
        },
      },
    ])
  })

  it('says so when there is nothing, and refuses nonsense', async () => {
    const quiet = await meridian(['rules', 'tune', file('access.log'), '--min', '1000'])
    expect(quiet.out).toBe('no rule matched 1000 requests or more\n')
    expect((await meridian(['rules', 'tune', file('access.log'), '--min', 'x'])).code).toBe(2)
    expect((await meridian(['rules', 'tune', file('none.log')])).code).toBe(1)
    expect((await meridian(['rules', 'lint'])).code).toBe(2)
  })
})

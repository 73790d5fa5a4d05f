import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { importSeclang } from '../seclang/import.ts'
import { Engine, type EngineOptions } from './engine.ts'
import type { SeclangRuleset } from './rule-schema.ts'
import type { Transaction } from './transaction.ts'

const DETECTORS = { sqli: () => undefined, xss: () => undefined }

function load(text: string): SeclangRuleset {
  return importSeclang({
    name: 'test',
    files: [{ name: 'test.conf', text }],
    data: (name) => (name === 'words.data' ? '# words\nalpha\nBeta gamma\n' : undefined),
  }).ruleset
}

function engineOf(text: string, options: Partial<EngineOptions> = {}): Engine {
  const problems: string[] = []
  const engine = new Engine([load(text)], { detectors: DETECTORS, ...options }, (path, message) =>
    problems.push(`${path}: ${message}`),
  )
  expect(problems).toEqual([])
  return engine
}

interface Ask {
  target?: string
  headers?: string[]
  body?: string
  exclusions?: number[]
}

function run(engine: Engine, ask: Ask = {}): Transaction {
  const tx = engine.begin(
    {
      method: ask.body === undefined ? 'GET' : 'POST',
      target: ask.target ?? '/',
      protocol: 'HTTP/1.1',
      headers: ask.headers ?? ['Host', 'example.com'],
      remoteAddress: '192.0.2.1',
      id: 'id',
    },
    ask.exclusions,
  )
  tx.run(1)
  tx.message.setBody(ask.body ?? '', false)
  tx.refresh()
  tx.run(2)
  tx.run(5)
  return tx
}

const ids = (tx: Transaction) => tx.matches.map((match) => match.id)
const score = (tx: Transaction, name: string) => tx.tx.getNamed(name)

describe('the engine', () => {
  it('runs setvar for each value that matches, and logs the rule once', () => {
    const engine = engineOf(
      `SecRule ARGS "@rx x" "id:1,phase:2,pass,setvar:tx.score=+5,setvar:'tx.last=%{MATCHED_VAR_NAME}'"`,
    )
    const tx = run(engine, { target: '/?a=x&b=y&c=xx' })
    expect(ids(tx)).toEqual([1])
    expect(score(tx, 'score')).toBe(10)
    expect(score(tx, 'last')).toBe('ARGS:c')
  })

  it('runs a link when it matches, even if the chain then fails', () => {
    const engine = engineOf(`
SecRule ARGS:a "@rx x" "id:1,phase:2,pass,setvar:tx.head=1,chain"
  SecRule ARGS:b "@rx y" "setvar:tx.tail=1"`)
    const half = run(engine, { target: '/?a=x' })
    expect([ids(half), score(half, 'head'), score(half, 'tail')]).toEqual([[], '1', undefined])
    const whole = run(engine, { target: '/?a=x&b=y' })
    expect([ids(whole), score(whole, 'tail')]).toEqual([[1], '1'])
  })

  it('gives the next link what the last one matched, after transformation', () => {
    const engine = engineOf(`
SecRule ARGS "@rx ^ev" "id:1,phase:2,pass,t:lowercase,chain"
  SecRule MATCHED_VARS "@rx ^evil$" "t:none"`)
    expect(ids(run(engine, { target: '/?a=EVIL' }))).toEqual([1])
    expect(ids(run(engine, { target: '/?a=even&b=evil2' }))).toEqual([])
  })

  it('keeps captures for later rules until the next capture', () => {
    const engine = engineOf(`
SecRule ARGS:a "@rx ^(.)(.)" "id:1,phase:2,pass,nolog,capture"
SecRule ARGS:a "@rx ." "id:2,phase:2,pass,nolog"
SecRule TX:2 "@streq b" "id:3,phase:2,pass,msg:'%{TX.0} %{tx.1}'"`)
    const tx = run(engine, { target: '/?a=abc' })
    expect(tx.matches.map((match) => match.message)).toEqual(['ab a'])
  })

  it('counts, excludes and selects by regex, names in any case', () => {
    const engine = engineOf(`
SecRule &ARGS "@eq 3" "id:1,phase:2,pass"
SecRule &ARGS:/^p_/ "@eq 2" "id:2,phase:2,pass"
SecRule ARGS|!ARGS:p_one|!ARGS:/two$/ "@rx bad" "id:3,phase:2,pass"
SecRule REQUEST_HEADERS:USER-agent "@contains curl" "id:4,phase:1,pass"`)
    const tx = run(engine, {
      target: '/?p_one=bad&p_two=bad&c=ok',
      headers: ['User-Agent', 'curl/8'],
    })
    expect(ids(tx)).toEqual([4, 1, 2])
  })

  it('tests every step that changed the value with multiMatch', () => {
    const rule = (flags: string) =>
      `SecRule ARGS "@rx ^%27|^'" "id:1,phase:2,pass,t:urlDecodeUni,t:lowercase,setvar:tx.n=+1${flags}"`
    expect(score(run(engineOf(rule(',multiMatch')), { target: '/?a=%2527' }), 'n')).toBe(2)
    expect(score(run(engineOf(rule('')), { target: '/?a=%2527' }), 'n')).toBe(1)
  })

  it('jumps within its phase only, and only forward', () => {
    const engine = engineOf(`
SecAction "id:1,phase:1,pass,log,skipAfter:END"
SecAction "id:2,phase:1,pass,log"
SecAction "id:3,phase:2,pass,log"
SecMarker END
SecAction "id:4,phase:1,pass,log"`)
    expect(ids(run(engine))).toEqual([1, 4, 3])
  })

  it('obeys controls: by id, by tag, one target, off', () => {
    const rules = (ctl: string) => `
SecAction "id:1,phase:1,pass,nolog,ctl:${ctl}"
SecRule ARGS "@rx x" "id:2,phase:2,pass,tag:'t/one'"
SecRule ARGS "@rx x" "id:3,phase:2,pass,tag:'other'"`
    const seen = (ctl: string) => ids(run(engineOf(rules(ctl)), { target: '/?a=x&b=x' }))
    expect(seen('ruleRemoveById=2')).toEqual([3])
    expect(seen('ruleRemoveById=2-3')).toEqual([])
    expect(seen('ruleRemoveByTag=t/')).toEqual([3])
    expect(seen('ruleEngine=Off')).toEqual([])
    const tx = run(engineOf(rules('ruleRemoveTargetById=2;ARGS:b')), { target: '/?b=x' })
    expect(ids(tx)).toEqual([3])
  })

  it('interrupts with the status of the rule, of the defaults, or not at all', () => {
    const deny = engineOf(
      `SecRule ARGS "@rx x" "id:1,phase:2,deny,status:451"\nSecAction "id:2,phase:2,pass,log"`,
    )
    const tx = run(deny, { target: '/?a=x' })
    expect([tx.interruption?.status, ids(tx)]).toEqual([451, [1]])
    const block = `SecDefaultAction "phase:2,deny,status:418"\nSecRule ARGS "@rx x" "id:1,phase:2,block"`
    expect(run(engineOf(block), { target: '/?a=x' }).interruption?.status).toBe(418)
    expect(
      run(engineOf(block, { mode: 'detect' }), { target: '/?a=x' }).interruption,
    ).toBeUndefined()
    const allow = engineOf(`SecAction "id:1,phase:1,allow,nolog"\nSecAction "id:2,phase:2,deny"`)
    expect(run(allow).interruption).toBeUndefined()
  })

  it('leaves out by exclusion: a rule, a target, for all or for the named request', () => {
    const rules = `SecRule ARGS "@rx x" "id:1,phase:2,pass,tag:'t'"`
    const exclusions = [
      { ids: ['1'], target: 'ARGS:password' },
      { tags: ['t'], isConditional: true },
    ]
    const engine = engineOf(rules, { exclusions })
    expect(ids(run(engine, { target: '/?password=x' }))).toEqual([])
    expect(ids(run(engine, { target: '/?other=x' }))).toEqual([1])
    expect(ids(run(engine, { target: '/?other=x', exclusions: [1] }))).toEqual([])
  })

  it('reads bodies with the processor of their type', () => {
    const engine = engineOf(`
SecRule ARGS:json.a.b "@streq 2" "id:1,phase:2,pass"
SecRule XML:/*|XML://@* "@rx evil" "id:2,phase:2,pass,setvar:tx.n=+1"
SecRule FILES "@rx \\.php$" "id:3,phase:2,pass"
SecRule MULTIPART_PART_HEADERS:f "@contains text/plain" "id:4,phase:2,pass"
SecRule REQBODY_ERROR "!@eq 0" "id:5,phase:2,pass"`)
    const ask = (type: string, body: string) =>
      run(engine, { headers: ['Content-Type', type], body })
    expect(ids(ask('application/json', '{"a":{"b":1},"a":{"b":2}}'))).toEqual([1])
    expect(score(ask('text/xml', '<x y="evil">evil</x>'), 'n')).toBe(2)
    const part =
      'Content-Disposition: form-data; name="f"; filename="x.php"\r\nContent-Type: text/plain'
    const multipart = `--B\r\n${part}\r\n\r\nz\r\n--B--\r\n`
    expect(ids(ask('multipart/form-data; boundary=B', multipart))).toEqual([3, 4])
    expect(ids(ask('application/json', '{"a":'))).toEqual([5])
  })

  it('stops at its work budget and says so', () => {
    const engine = engineOf(`SecRule ARGS "@rx a.*b.*c" "id:1,phase:2,pass"`, { workBudget: 1000 })
    const tx = run(engine, { target: `/?a=${'a'.repeat(2000)}bc` })
    expect([tx.isExhausted, ids(tx)]).toEqual([true, []])
    expect(run(engine, { target: '/?a=abc' }).isExhausted).toBe(false)
  })

  it.each([
    ['@pm alpha beta', 'xxBETAxx', 'other'],
    ['@pmFromFile words.data', 'a beta GAMMA', 'beta'],
    ['@within ab,cd', 'ab', 'zz'],
    ['@containsWord or', 'this or that', 'organ'],
    ['@beginsWith /a', '/ab', 'x/a'],
    ['@endsWith .php', 'x.php', 'x.php5'],
    ['@ge 10', '12x', '9'],
    ['@validateByteRange 32-126', 'a\x01', 'abc'],
    ['@validateUtf8Encoding', '\xc0\xaf', '\xc3\xa4'],
    ['@validateUrlEncoding', '%zz', '%41'],
    ['@ipMatch 10.0.0.0/8,2001:db8::/32', '10.1.2.3', '11.0.0.1'],
    ['!@rx ^a', 'b', 'a'],
    ['@unconditionalMatch', 'a', ''],
  ])('%s', (operator, yes, no) => {
    const engine = engineOf(`SecRule REQUEST_HEADERS:X "${operator}" "id:1,phase:1,pass"`)
    expect(ids(run(engine, { headers: ['X', yes] }))).toEqual([1])
    if (no !== '') expect(ids(run(engine, { headers: ['X', no] }))).toEqual([])
  })
})

describe('a regular expression that cannot be used', () => {
  it.each([
    [
      'ARGS "@rx a(?=b)"',
      'look-around cannot be matched in linear time and is not supported, at offset 1',
    ],
    ['ARGS "@rx (a"', 'this group is never closed, at offset 0'],
    ['ARGS "@rx (a{1000}b{1000}){1}{9}"', 'a quantifier follows another, at offset 19'],
  ])('%s is an error when the rules are loaded', (selector, expected) => {
    const problems: string[] = []
    const ruleset = load(`SecRule ${selector} "id:1,phase:1,pass"`)
    new Engine([ruleset], { detectors: DETECTORS }, (path, message) =>
      problems.push(`${path}: ${message}`),
    )
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain('test.rules[0]')
    expect(problems[0]).toContain(expected)
  })

  it('as a selector is one when they are imported', () => {
    expect(() => load('SecRule ARGS:/[b-a]/ "@rx x" "id:1,phase:1,pass"')).toThrow(
      'the regular expression /[b-a]/: this range runs backwards',
    )
  })
})

describe('pruning', () => {
  const rules = `
SecRule &TX:level "@eq 0" "id:1,phase:1,pass,nolog,setvar:tx.level=1"
SecRule &TX:critical "@eq 0" "id:2,phase:1,pass,nolog,setvar:tx.critical=5"
SecRule TX:level "@lt 2" "id:3,phase:1,pass,nolog,skipAfter:END"
SecRule TX:level "@lt 2" "id:4,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@rx x" "id:5,phase:2,pass,setvar:tx.score=+%{tx.critical}"
SecMarker END
SecRule ARGS "@rx y" "id:6,phase:2,pass,setvar:tx.score=+%{tx.critical}"
SecRule TX:score "@ge 5" "id:7,phase:2,deny"`

  it('leaves out what a setting rules out, and keeps the rest', () => {
    const low = engineOf(rules)
    expect(low.ruleCount).toBe(2)
    expect(ids(run(low, { target: '/?a=xy' }))).toEqual([6, 7])
    expect([...low.unused]).toEqual([5])
    const high = engineOf(rules, { settings: new Map([['level', '2']]) })
    expect(high.ruleCount).toBe(3)
    expect(ids(run(high, { target: '/?a=xy' }))).toEqual([5, 6, 7])
    expect([...high.unused]).toEqual([1, 3, 4])
  })

  it('decides at run time what a rule may change at run time', () => {
    const engine = engineOf(
      `SecRule ARGS:debug "@eq 1" "id:9,phase:1,pass,nolog,setvar:tx.level=2"\n${rules}`,
    )
    expect(ids(run(engine, { target: '/?a=x' }))).toEqual([])
    expect(ids(run(engine, { target: '/?a=x&debug=1' }))).toEqual([5, 7])
  })
})

describe('the prefilter', () => {
  const patterns = [
    '(?i)union.{1,20}select',
    '[\'"`];?\\s*(?:or|and)\\b',
    '^(?:a|bc)?d{2,3}$',
    '(?i:sleep\\(|benchmark)',
    '[^a-z]{3}',
    'a|b|cc',
    '(?:x+y)+z?',
    '\\bfoo\\b|bar\\d',
    '(?i)\\x3cscript[^>]*>',
    '[\\n\\r;=`{]|\\|\\|?|&&?',
    '(?:)',
    '(?i)[\\-0-9_a-z]+(?:[\\s\\x0b]*["\'][^\\s"\']+["\'])',
  ]
  const piece = fc.constantFrom(
    ...[
      'union',
      ' SELECT',
      'a',
      'b',
      'c',
      'dd',
      'x',
      'y',
      'z',
      '1',
      ' ',
      "'",
      '"',
      ';',
      'or',
      '<Script',
      '>',
    ],
    ...['foo', 'bar', 'sleep(', '\n', '|', '&', '=', '-', '_', '`', '{', '\xe9'],
  )

  it.each(patterns.map((p) => [p]))('never skips a match of %s', (pattern) => {
    const rule = (id: number, selector: string) =>
      `SecRule ${selector} "@rx ${pattern.replaceAll('"', '\\"')}" "id:${id},phase:1,pass"`
    // A TX variable is never filtered: the second rule asks the matcher itself.
    const engine = engineOf(
      `SecRule REQUEST_HEADERS:X "@unconditionalMatch" "id:1,phase:1,pass,nolog,setvar:'tx.x=%{MATCHED_VAR}'"
${rule(2, 'REQUEST_HEADERS:X')}
${rule(3, 'TX:x')}`,
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const seen = ids(run(engine, { headers: ['X', parts.join('')] }))
        return seen.includes(2) === seen.includes(3)
      }),
      { numRuns: 200 },
    )
  })
})

import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { SeclangRulesetSchema } from '../engine/rule-schema.ts'
import { importSeclang } from './import.ts'

const load = (text: string) =>
  importSeclang({
    name: 'own',
    files: [{ name: 'rules/own.conf', text }],
    data: (name, from) =>
      name === 'a.data' && from === 'rules/own.conf' ? 'one\n# no\n\ntwo\n' : undefined,
  })

describe('importing SecLang', () => {
  it('gives rules that people can read', () => {
    const { ruleset, ignored } = load(`
# a comment
SecComponentSignature "OWN/1"
SecDefaultAction "phase:2,log,deny,status:406"
SecRuleEngine On
SecRule REQUEST_COOKIES|!REQUEST_COOKIES:/^_ga(?:_\\w+)?$/|ARGS:'a|b'|XML:/* \\
    "@rx (?i)\\"quoted\\"" \\
    "id:100,phase:2,block,capture,multiMatch,t:none,t:urlDecodeUni,t:lowercase,\\
    msg:'It\\'s, found',tag:'x/y',severity:'CRITICAL',setvar:'tx.a=+%{tx.b}',initcol:ip=1,chain"
    SecRule ARGS "!@pmFromFile a.data" "t:length,ctl:ruleRemoveById=7,setvar:!tx.c"
SecMarker END
SecAction "id:101,pass,nolog,setvar:tx.n,skipAfter:END"
`)
    expect(ruleset).toEqual({
      ruleset: 'own',
      version: 'OWN/1',
      defaults: { '2': { action: 'deny', status: 406, log: true } },
      lists: { 'a.data': ['one', 'two'] },
      rules: [
        {
          id: 100,
          phase: 2,
          targets: ['REQUEST_COOKIES', '!REQUEST_COOKIES:/^_ga(?:_\\w+)?$/', 'ARGS:a|b', 'XML:/*'],
          transforms: ['urlDecodeUni', 'lowercase'],
          operator: { name: 'rx', argument: '(?i)"quoted"' },
          multiMatch: true,
          capture: true,
          setvar: [['add', 'tx.a', '%{tx.b}']],
          action: 'block',
          msg: "It's, found",
          severity: 'CRITICAL',
          tags: ['x/y'],
          chain: [
            {
              targets: ['ARGS'],
              transforms: ['length'],
              operator: { name: 'pmFromFile', argument: 'a.data', negated: true },
              setvar: [['delete', 'tx.c', '']],
              ctl: [['ruleRemoveById', '7']],
            },
          ],
        },
        { marker: 'END' },
        {
          id: 101,
          phase: 2,
          targets: [],
          operator: { name: 'unconditionalMatch' },
          setvar: [['set', 'tx.n', '1']],
          action: 'pass',
          log: false,
          audit: false,
          skipAfter: 'END',
        },
      ],
    })
    expect(Object.fromEntries(ignored)).toEqual({ SecRuleEngine: 1, initcol: 1 })
    expect(v.parse(SeclangRulesetSchema, JSON.parse(JSON.stringify(ruleset)))).toEqual(ruleset)
  })

  it('applies what later directives change', () => {
    const { ruleset } = load(`
SecRule ARGS "@rx a" "id:1,phase:2,block,tag:'t',msg:'m'"
SecRule ARGS "@rx b" "id:2,phase:2,block,tag:'t'"
SecRule ARGS "@rx c" "id:3,phase:2,block,tag:'u'"
SecRuleUpdateTargetById 1 "!ARGS:x"
SecRuleUpdateTargetByTag t "REQUEST_HEADERS:Y"
SecRuleUpdateActionById 1 "deny,status:404"
SecRuleRemoveById 3
SecRuleRemoveByMsg none-such-10-20`)
    expect(ruleset.rules).toMatchObject([
      { id: 1, targets: ['ARGS', '!ARGS:x', 'REQUEST_HEADERS:Y'], action: 'deny', status: 404 },
      { id: 2, targets: ['ARGS', 'REQUEST_HEADERS:Y'] },
    ])
  })

  it.each([
    ['SecRul ARGS "@rx a" "id:1"', 'the directive SecRul is not known'],
    ['SecRule ARGZ "@rx a" "id:1"', 'the variable ARGZ is not known'],
    ['SecRule ARGS "@rex a" "id:1"', 'the operator @rex is not known'],
    ['SecRule ARGS "@rx a" "id:1,t:rot13"', 'the transformation t:rot13 is not known'],
    ['SecRule ARGS "@rx a" "id:1,exec:/bin/sh"', 'the action exec is not known'],
    ['SecRule ARGS "@rx a" "id:1,ctl:magic=On"', 'ctl:magic=On is not known'],
    ['SecRule ARGS "@rx a" "phase:2"', 'a rule needs an id'],
    [
      'SecRule ARGS "@rx a" "id:1"\nSecRule ARGS "@rx b" "id:1"',
      'the id 1 is used at rules/own.conf:1',
    ],
    ['SecRule ARGS "@pmFromFile b.data" "id:1"', 'the data file b.data is missing'],
    [
      'SecRule ARGS "@rx a" "id:1,chain"\nSecMarker X',
      'a chain must go on with SecRule, not SecMarker',
    ],
    ['SecRule ARGS "@rx a" "id:1,chain"', 'the file ends inside a chain'],
    ['SecRule ARGS "@rx a', 'a quote " is not closed'],
    ['SecRuleUpdateTargetById 9 "!ARGS:x"', 'no rule before this line has id 9'],
    ['SecRule XML:/a/b "@rx a" "id:1"', 'the XPath /a/b is not supported'],
  ])('refuses %j', (text, message) => {
    const line = text.includes('\n') && !text.endsWith('chain"') ? 2 : 1
    expect(() => load(`${text}\n`)).toThrow(`rules/own.conf:${line}: ${message}`)
  })
})

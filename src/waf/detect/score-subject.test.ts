import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { RouteWafSection, WafSection } from '../../config/sections/waf.ts'
import { createEnvironment } from '../../expression/expression.ts'
import { DETECTORS } from '../detectors.ts'
import { inspect } from '../waf.fixture.ts'
import { Waf } from '../waf.ts'
import { scoreSubject } from './score-subject.ts'

const text = readFileSync(new URL('../../../rules/managed.json', import.meta.url), 'utf8')

function managed(): { waf: Waf; problems: string[] } {
  const problems: string[] = []
  const waf = new Waf(
    v.parse(WafSection, { rulesets: [{ file: 'managed.json' }] }),
    [v.parse(RouteWafSection, {})],
    {
      environment: createEnvironment(),
      detectors: DETECTORS,
      builtIn: () => undefined,
      files: new Map([['managed.json', text]]),
      score: scoreSubject,
    },
    (path, message) => problems.push(`${path}: ${message}`),
  )
  return { waf, problems }
}

describe('rules/managed.json', () => {
  const { waf, problems } = managed()

  it('compiles, with every test of its rules holding', () => {
    expect(problems).toEqual([])
    expect(waf.native.length).toBeGreaterThan(15)
  })

  it.each([
    ['path', { uri: "/item/7'%20or%207=7--" }],
    ['query', { uri: "/?id=7'%20or%207=7--" }],
    ['argument name', { uri: "/?7'%20or%207=7--=x" }],
    ['header', { headers: { 'X-Any': "7' or 7=7--" } }],
    ['cookie', { headers: { Cookie: "a=b; id=7'%20or%207=7--" } }],
    ['user agent', { headers: { 'User-Agent': "7' or 7=7--" } }],
    [
      'form',
      {
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
        body: 'a=b&id=7%27+or+7%3D7--',
      },
    ],
    [
      'multipart',
      {
        headers: { 'Content-Type': 'multipart/form-data; boundary=q' },
        body: '--q\r\nContent-Disposition: form-data; name="id"\r\n\r\n7\' or 7=7--\r\n--q--\r\n',
      },
    ],
    [
      'JSON',
      {
        headers: { 'Content-Type': 'application/json' },
        body: '{"a":[{"id":"7\\u0027 or 7=7--"}]}',
      },
    ],
    [
      'XML',
      { headers: { 'Content-Type': 'application/xml' }, body: '<a><id>7&#39; or 7=7--</id></a>' },
    ],
    ['untyped body', { body: "7' or 7=7--" }],
  ])('blocks the same attack in: %s', (_place, request) => {
    expect(inspect(waf, request).block).toMatchObject({ rule: 'sql-injection' })
  })

  it.each([
    { uri: '/products/shoes?color=red&size=10&sort=-created_at' },
    { uri: '/?q=select+a+size+from+the+list', headers: { Cookie: '_ga=GA1.2.1.2; theme=dark' } },
    {
      headers: {
        'Content-Type': 'application/json',
        Accept: 'text/html,application/xml;q=0.9,*/*;q=0.8',
      },
      body: '{"note":"It\'s a gift & a surprise; don\'t tell","items":[1,2]}',
    },
    {
      headers: {
        'Content-Type': 'application/x-www-form-urlencoded',
        Referer: 'https://www.example.com/search?q=how+to+select+from+table',
      },
      body: 'name=Se%C3%A1n+O%27Connor&message=Hello%2C%0D%0Asee+you+at+5%3A30',
    },
  ])('lets ordinary requests pass: %j', (request) => {
    expect(inspect(waf, request).block).toBeUndefined()
  })
})

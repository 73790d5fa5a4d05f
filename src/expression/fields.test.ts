import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import { SPECIAL_FUNCTIONS } from './check.ts'
import { compileValue, Subject } from './expression.ts'
import { extensionOf } from './fields/request.ts'
import { FIELDS } from './fields.ts'
import { FUNCTIONS } from './functions.ts'
import { parseAcceptLanguage } from './languages.ts'
import { parseCookies, percentDecode, splitPairs } from './pairs.ts'
import { environmentA, fixtureA, subjectOf } from './subject.fixture.ts'
import type { Type } from './types.ts'

function isOf(type: Type, value: unknown): boolean {
  switch (type.kind) {
    case 'bool':
      return typeof value === 'boolean'
    case 'int':
      return Number.isSafeInteger(value)
    case 'bytes':
      return typeof value === 'string' && ![...value].some((char) => char > '\xff')
    case 'ip':
      return typeof value === 'object' && value !== null && 'words' in value
    case 'array':
      return Array.isArray(value) && value.every((item) => isOf(type.item!, item))
    case 'map':
      return (
        value instanceof Map &&
        [...value].every(
          ([key, item]) => isOf({ kind: 'bytes', name: '' }, key) && isOf(type.item!, item),
        )
      )
  }
}

/** A request about which everything is known, with text outside ASCII wherever it can be. */
function fullSubject(): Subject {
  const subject = fixtureA()
  const { exchange } = subject
  const client = {
    ...exchange.client,
    peer: parseIp('10.0.0.1'),
    tls: {
      version: 'TLSv1.3',
      cipher: 'X',
      certificate: {
        verified: true,
        subject: 'CN=Jürgen',
        issuer: 'CN=Č',
        serial: '01',
        fingerprint256: 'ab',
      },
    },
  }
  const full = new Subject(
    Object.assign(Object.create(Object.getPrototypeOf(exchange)), exchange, { client }),
  )
  full.body = {
    ...subject.body!,
    multipart: [
      {
        name: 'a',
        filename: 'b',
        value: 'c',
        contentType: 'd',
        contentDisposition: 'e',
        contentTransferEncoding: 'f',
      },
    ],
  }
  full.response = {
    status: 200,
    headers: new HeaderList(['Content-Type', 'Text/HTML; charset=utf-8']),
  }
  full.scores = subject.scores
  full.exchange.principal = {
    kind: 'jwt',
    subject: 'ü',
    issuer: 'https://ü',
    scopes: ['a'],
    claims: { ü: 'ü', iat: 5, nbf: 4, aud: ['a'], sub: 's', jti: 'j', iss: 'i' },
  }
  full.exchange.route = { id: 'r', index: 0 }
  full.exchange.decision = { region: 'eu', order: ['eu'], policy: 'p', reason: 'r' }
  full.exchange.cacheStatus = { outcome: 'hit', reason: 'x', header: '' }
  full.exchange.verdicts = [
    { rule: 'ü', ruleset: 's', action: 'log', enforced: true, phase: 'request', description: '' },
  ]
  return full
}

describe('fields', () => {
  const full = fullSubject()
  const bare = subjectOf({ ip: undefined })

  it.each([...FIELDS.values()].map((field) => [field.name, field] as const))(
    '%s has its type',
    (name, field) => {
      for (const subject of [full, bare]) {
        const value = field.read(subject)
        if (value !== undefined)
          expect([name, value, isOf(field.type, value)]).toEqual([name, value, true])
        // Parsed once: an expression that asks again gets the same.
        if (field.type.kind === 'map' && field.access === undefined)
          expect(field.read(subject)).toEqual(value)
      }
      expect(compileValue(name, environmentA).type.name).toBe(field.type.name)
      expect(field.description).toMatch(/\.$/)
    },
  )

  it.each<[string, unknown]>([
    [
      'http.request.full_uri',
      'https://shop.example.com/Admin/login.php?user=alice&role=admin&role=editor&q=red%20shoes&empty=',
    ],
    ['http.request.version', 'HTTP/2'],
    ['http.request.uri.args.names', ['user', 'role', 'role', 'q', 'empty']],
    ['http.request.uri.args.values', ['alice', 'admin', 'editor', 'red%20shoes', '']],
    ['http.request.uri.path.extension', 'php'],
    ['http.request.cookies["theme"]', ['dark']],
    ['http.request.timestamp.sec', 1_700_000_000],
    ['http.request.timestamp.msec', 123],
    ['http.request.body.form.names', ['name', 'comment', 'n', 'n']],
    ['http.response.content_type.media_type', 'text/html'],
    ['cf.tls_client_auth.cert_subject_dn', 'CN=J\xc3\xbcrgen'],
    ['cf.waf.score.class', 'attack'],
    ['meridian.waf.scores', new Map([['sqli', 12]])],
    ['meridian.waf.rules', ['\xc3\xbc']],
    ['ip.geoip.country', 'DE'],
    ['geo.asn', 64496],
    ['cf.edge.server_port', 443],
  ])('%s', (source, expected) => {
    expect(compileValue(source, environmentA).read(full)).toEqual(expected)
  })

  it('parse a request once for all expressions', () => {
    const subject = fixtureA()
    expect(subject.queryArgs().map).toBe(subject.queryArgs().map)
    expect(subject.cookies()).toBe(subject.cookies())
    expect(subject.headers().map).toBe(subject.headers().map)
    expect(subject.form().values).toBe(subject.form().values)
  })
})

describe('parts of requests', () => {
  it.each([
    ['/foo', ''],
    ['/foo.mp3', 'mp3'],
    ['/.mp3', ''],
    ['/.foo.mp3', 'mp3'],
    ['/foo.tar.bz2', 'bz2'],
    ['/foo.', ''],
    ['/foo.MP3', 'mp3'],
    ['/a.b/c', ''],
  ])('extension of %s', (path, expected) => {
    expect(extensionOf(path)).toBe(expected)
  })

  it.each([
    ['fr-CH, fr;q=0.8, en;q=0.9, de;q=0.7, *;q=0.5', ['fr-CH', 'en', 'fr', 'de']],
    ['', []],
    ['a;q=0, b;q=0.5, c;q=0.5', ['b', 'c']],
  ])('languages of %j', (text, expected) => {
    expect(parseAcceptLanguage(text)).toEqual(expected)
  })

  it.each([
    ['a=1&a=2&b', ['a', '1', 'a', '2', 'b', '']],
    ['&&=x&a==&', ['', 'x', 'a', '=']],
    ['', []],
    ['__proto__=1&constructor=2', ['__proto__', '1', 'constructor', '2']],
  ])('pairs of %j', (text, expected) => {
    expect(splitPairs(text)).toEqual(expected)
  })

  it('cookies', () => {
    expect(parseCookies(['a=1; b = 2 ;; c', 'a=3;%61=4']).flat).toEqual([
      'a',
      '1',
      'b',
      '2',
      'c',
      '',
      'a',
      '3',
      'a',
      '4',
    ])
    expect(parseCookies(['a=1', 'a=2']).map.get('a')).toEqual(['1', '2'])
  })

  it.each([
    ['%41%', 'A%'],
    ['%4%41', '%4A'],
    ['%zz%2', '%zz%2'],
  ])('%s decoded', (text, expected) => {
    expect(percentDecode(text)).toBe(expected)
  })
})

describe('docs/expressions.md', () => {
  const page = readFileSync(new URL('../../docs/expressions.md', import.meta.url), 'utf8')
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const tables = page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map(cells)

  it('has every field with its type and sources, and no other', () => {
    const begin = page.indexOf('## Fields')
    const rows = page
      .slice(begin)
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map(cells)
    const documented = new Map(
      rows.map(([name, type, node, workers]) => [
        name!.replaceAll('`', ''),
        { type: type!.replaceAll('`', ''), node, workers },
      ]),
    )
    expect([...documented.keys()].sort()).toEqual([...FIELDS.keys()].sort())
    for (const [name, { type, node, workers }] of documented) {
      const field = FIELDS.get(name)!
      expect({ name, type, node, workers }).toEqual({
        name,
        type: field.type.name,
        node: field.node ?? '–',
        workers: field.workers ?? '–',
      })
    }
  })

  it('has every function', () => {
    const names = tables
      .map(([name]) => /^`([a-z0-9_]+)\(/.exec(name!)?.[1])
      .filter((name) => name !== undefined)
    expect(names.sort()).toEqual([...FUNCTIONS.keys(), ...SPECIAL_FUNCTIONS].sort())
  })

  it('shows only expressions that load', () => {
    const blocks = [...page.matchAll(/```text\n([\s\S]*?)```/g)].flatMap(([, block]) =>
      block!.trim().split('\n'),
    )
    expect(blocks.length).toBeGreaterThan(10)
    for (const line of blocks) expect(() => compileValue(line, environmentA), line).not.toThrow()
  })
})

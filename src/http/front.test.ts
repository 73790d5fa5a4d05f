import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DEFAULT_METHODS, type FrontLimits, type RawRequest, vet } from './front.ts'
import { canonicalTarget, parseAuthority, splitAbsoluteForm } from './target.ts'

const limits: FrontLimits = {
  maxFields: 20,
  maxTargetBytes: 200,
  maxBodyBytes: 1000,
  methods: DEFAULT_METHODS,
}

function request(change: Partial<RawRequest> & { add?: string[] } = {}): RawRequest {
  return {
    method: 'GET',
    target: '/',
    version: '1.1',
    headers: ['Host', 'a.test', ...(change.add ?? [])],
    secure: false,
    ...change,
  }
}

describe('request targets', () => {
  it.each([
    ['/a/b?x=1', '/a/b', 'x=1'],
    ['/a/./b/../c', '/a/c', ''],
    ['/../../x', '/x', ''],
    ['/a/..', '/', ''],
    ['/a/.', '/a/', ''],
    ['/%7euser/%41', '/~user/A', ''],
    ['/a%2fb', '/a%2Fb', ''],
    ['/%2e%2e/x', '/x', ''],
    ['/a/%2e%2e/b', '/b', ''],
    ['//host/x', '//host/x', ''],
    ['/caf%c3%a9', '/caf%C3%A9', ''],
    ['/a;v=1/b', '/a;v=1/b', ''],
    ['/.well-known/x', '/.well-known/x', ''],
    ['/x?q=%zz&p=../..', '/x', 'q=%zz&p=../..'],
    ['/x?{"a":[1|2]}^`', '/x', '{"a":[1|2]}^`'],
  ])('%s is %s with query %s', (raw, path, query) => {
    expect(canonicalTarget(raw)).toMatchObject({ path, query })
  })

  it.each([
    '/a#b',
    '/a\\b',
    '/a%5cb',
    '/a%00',
    '/a%0d%0ab',
    '/a%zz',
    '/a%',
    '/%c0%ae',
    '/%e0%80%80',
    '/%ed%a0%80',
    '/%f8%88%80%80%80',
    '/%80',
    '/caf%c3',
    '/a/..%2fb',
    '/a/..;/b',
    '/a/..;x',
    '/%2e%2e%2fx',
    '/a b',
    '/\u00ff',
    'x',
    '',
  ])('%s is refused', (raw) => {
    expect(canonicalTarget(raw)).toBe('bad-target')
  })

  it('are canonical once and for all, and never gain a dot segment', () => {
    const char = fc.constantFrom(
      '/',
      '.',
      '%',
      '2',
      'e',
      'E',
      'f',
      'F',
      '5',
      'c',
      ';',
      'a',
      '?',
      '~',
    )
    fc.assert(
      fc.property(fc.array(char, { maxLength: 24 }), (chars) => {
        const first = canonicalTarget(`/${chars.join('')}`)
        if (typeof first === 'string') return
        expect(first.path).not.toMatch(/(^|\/)\.\.?(\/|$)/)
        const again = canonicalTarget(first.pathAndQuery)
        expect(again).toMatchObject({ path: first.path, query: first.query })
      }),
      { numRuns: 2000 },
    )
  })

  it('in absolute form are taken apart', () => {
    expect(splitAbsoluteForm('http://a.test')).toEqual({
      scheme: 'http',
      authority: 'a.test',
      rest: '/',
    })
    expect(splitAbsoluteForm('HTTP://a.test:80?x')).toEqual({
      scheme: 'http',
      authority: 'a.test:80',
      rest: '/?x',
    })
    expect(splitAbsoluteForm('/http://a.test')).toBeUndefined()
  })
})

describe('authorities', () => {
  it.each([
    ['a.test', 'a.test', 'a.test'],
    ['A.Test:8080', 'a.test:8080', 'a.test'],
    ['[2001:DB8::1]:443', '[2001:db8::1]:443', '[2001:db8::1]'],
    ['my_host', 'my_host', 'my_host'],
    ['10.0.0.1', '10.0.0.1', '10.0.0.1'],
  ])('%s', (text, authority, host) => {
    expect(parseAuthority(text)).toEqual({ authority, host })
  })
  it.each([
    '',
    ':80',
    'a@b',
    'a/b',
    'a,b',
    'a b',
    'a:',
    'a:99999',
    'a:80:80',
    'a:x',
    '[::1',
    '[x]',
    '[::1]x',
    'a%2eb',
    'é',
    'a'.repeat(300),
  ])('%s is refused', (text) => {
    expect(parseAuthority(text)).toBeUndefined()
  })
})

describe('the front lets a request in or says why not', () => {
  it.each<[string, RawRequest, string]>([
    ['no Host', request({ headers: [] }), 'bad-host'],
    ['two Hosts', request({ add: ['host', 'a.test'] }), 'bad-host'],
    ['an empty Host', request({ headers: ['Host', ''] }), 'bad-host'],
    [
      'two Content-Lengths',
      request({ add: ['Content-Length', '5', 'content-length', '5'] }),
      'bad-framing',
    ],
    ['a signed Content-Length', request({ add: ['Content-Length', '+5'] }), 'bad-framing'],
    [
      'length and coding',
      request({ add: ['Content-Length', '5', 'Transfer-Encoding', 'chunked'] }),
      'bad-framing',
    ],
    [
      'a coding in HTTP/1.0',
      request({ version: '1.0', add: ['Transfer-Encoding', 'chunked'] }),
      'bad-framing',
    ],
    [
      'two codings',
      request({ add: ['Transfer-Encoding', 'gzip, chunked'] }),
      'bad-transfer-coding',
    ],
    ['a long body', request({ add: ['Content-Length', '1001'] }), 'body-too-large'],
    [
      'two content types',
      request({ add: ['Content-Type', 'a/b', 'content-type', 'c/d'] }),
      'bad-field',
    ],
    [
      'two authorizations',
      request({ add: ['Authorization', 'a', 'authorization', 'b'] }),
      'bad-field',
    ],
    ['an odd expectation', request({ add: ['Expect', 'y 100-continue'] }), 'expectation-failed'],
    ['TRACE', request({ method: 'TRACE' }), 'method-not-allowed'],
    ['CONNECT', request({ method: 'CONNECT', target: 'a.test:443' }), 'method-not-allowed'],
    ['an unknown method', request({ method: 'FROBNICATE' }), 'method-not-allowed'],
    ['GET *', request({ target: '*' }), 'bad-target'],
    ['another scheme', request({ target: 'ftp://a.test/' }), 'bad-target'],
    ['the scheme of another listener', request({ target: 'https://a.test/' }), 'bad-target'],
    ['user information', request({ target: 'http://u@a.test/' }), 'bad-target'],
    ['an empty absolute authority', request({ target: 'http:///x' }), 'bad-target'],
    ['a long target', request({ target: `/${'a'.repeat(200)}` }), 'target-too-long'],
    ['many fields', request({ add: new Array(42).fill('x') }), 'fields-too-large'],
    [
      'HTTP/2 authority and Host that differ',
      request({ version: '2', authority: 'b.test' }),
      'bad-host',
    ],
  ])('%s', (_name, raw, refusal) => {
    expect(vet(raw, limits)).toEqual({ refusal })
  })

  it('takes the authority of an absolute target over Host', () => {
    const vetted = vet(request({ target: 'http://B.test:81/x' }), limits)
    expect(vetted).toMatchObject({ authority: 'b.test:81', host: 'b.test', target: { path: '/x' } })
  })

  it('knows what the body will be', () => {
    expect(vet(request(), limits)).toMatchObject({ bodyLength: 0 })
    expect(vet(request({ add: ['Content-Length', '0005'] }), limits)).toMatchObject({
      bodyLength: 5,
    })
    expect(vet(request({ add: ['Transfer-Encoding', 'Chunked'] }), limits)).toMatchObject({
      bodyLength: null,
    })
  })

  it('answers OPTIONS * and spent Max-Forwards itself', () => {
    expect(vet(request({ method: 'OPTIONS', target: '*' }), limits)).toMatchObject({
      answerLocally: true,
    })
    expect(vet(request({ method: 'OPTIONS', add: ['Max-Forwards', '0'] }), limits)).toMatchObject({
      answerLocally: true,
    })
    expect(vet(request({ method: 'OPTIONS', add: ['Max-Forwards', '1'] }), limits)).toMatchObject({
      answerLocally: false,
    })
  })
})

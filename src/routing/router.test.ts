import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pathMatcher, Router } from './router.ts'

const router = new Router<{ flag: boolean }>([
  {
    match: { hosts: ['api.example.com'], paths: ['/v1'], methods: undefined },
    predicate: undefined,
  },
  {
    match: { hosts: ['*.example.com'], paths: [], methods: new Set(['POST']) },
    predicate: undefined,
  },
  { match: { hosts: ['*.eu.example.com'], paths: [], methods: undefined }, predicate: undefined },
  { match: { hosts: [], paths: ['/img/*.png'], methods: undefined }, predicate: undefined },
  { match: { hosts: [], paths: [], methods: undefined }, predicate: (r) => r.flag },
  {
    match: { hosts: ['api.example.com', 'other.test'], paths: [], methods: undefined },
    predicate: undefined,
  },
])

describe('the first route in the config that matches takes the request', () => {
  it.each([
    ['api.example.com', '/v1', 'GET', false, 0],
    ['api.example.com', '/v1/users', 'GET', false, 0],
    ['api.example.com', '/v10', 'GET', false, 5],
    ['api.example.com', '/v10', 'POST', false, 1],
    ['shop.example.com', '/', 'POST', false, 1],
    ['shop.example.com', '/', 'GET', false, -1],
    ['a.eu.example.com', '/', 'GET', false, 2],
    ['a.eu.example.com', '/', 'POST', false, 1],
    ['example.com', '/', 'POST', false, -1],
    ['unknown.test', '/img/a.png', 'GET', false, 3],
    ['unknown.test', '/img/a.gif', 'GET', true, 4],
    ['other.test', '/x', 'GET', false, 5],
    ['other.test', '/x', 'GET', true, 4],
  ])('%s%s %s (flag %s) goes to %i', (host, path, method, flag, expected) => {
    expect(router.find(host, path, method, { flag })).toBe(expected)
  })
})

describe('path patterns', () => {
  it.each([
    ['/', '/anything', true],
    ['/api', '/api', true],
    ['/api', '/apiary', false],
    ['/api/', '/api', false],
    ['/api/', '/api/x', true],
    ['*.png', '/a/b.png', true],
    ['/a/*/c', '/a/b/c', true],
    ['/a/*/c', '/a/c', false],
    ['/a*a', '/a', false],
    ['/*x*y*', '/1x2y3', true],
    ['/*x*y*', '/1y2x3', false],
  ])('%s and %s: %s', (pattern, path, expected) => {
    expect(pathMatcher(pattern)(path)).toBe(expected)
  })

  it('agree with a regular expression of the same meaning', () => {
    const piece = fc.stringMatching(/^[ab/]{0,4}$/)
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 2, maxLength: 4 }),
        fc.stringMatching(/^[ab/]{0,10}$/),
        (parts, path) => {
          const pattern = `/${parts.join('*')}`
          const reference = new RegExp(`^${pattern.replaceAll('*', '[^]*')}$`)
          expect(pathMatcher(pattern)(`/${path}`)).toBe(reference.test(`/${path}`))
        },
      ),
    )
  })
})

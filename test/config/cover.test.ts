import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { coveredBy, coverOf, covers } from '../../src/config/cover.ts'
import { Router } from '../../src/routing/router.ts'

const host = fc.constantFrom('a.test', 'b.a.test', '*.a.test', '*.test', '*')
const path = fc.constantFrom('/', '/a', '/a/', '/a/b', '/ab', '/a*', '/*', '/*.x', '/a/*', '*')
const method = fc.constantFrom('GET', 'POST')
const list = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 1, maxLength: 2 })
const match = fc.record(
  { host: list(host), path: list(path), methods: list(method) },
  { requiredKeys: [] },
)

const request = fc.record({
  host: fc.constantFrom('a.test', 'b.a.test', 'c.b.a.test', 'z.test', 'other'),
  path: fc.constantFrom('/', '/a', '/a/', '/a/b', '/a/b/c', '/ab', '/a.x', '/a/b.x', '/z'),
  method: fc.constantFrom('GET', 'POST', 'PUT'),
})

const candidate = (one: { host?: string[]; path?: string[]; methods?: string[] }) => ({
  match: {
    hosts: one.host ?? [],
    paths: one.path ?? [],
    methods: one.methods === undefined ? undefined : new Set(one.methods),
  },
  predicate: undefined,
})

describe('a match that covers another', () => {
  it('leaves it no request, as the router sees it', () => {
    let covered = 0
    fc.assert(
      fc.property(
        match,
        match,
        fc.array(request, { minLength: 8, maxLength: 8 }),
        (a, b, asked) => {
          if (!covers(coverOf(a), coverOf(b))) return
          covered++
          const router = new Router([candidate(a), candidate(b)])
          for (const { host, path, method } of asked) {
            expect(router.find(host, path, method, undefined)).not.toBe(1)
          }
        },
      ),
      { numRuns: 3000 },
    )
    expect(covered).toBeGreaterThan(200)
  })

  it('is found among many as one by one', () => {
    fc.assert(
      fc.property(fc.array(match, { maxLength: 8 }), (matches) => {
        const slowly = matches.map((narrow, index) =>
          matches.findIndex((wide, at) => at < index && covers(coverOf(wide), coverOf(narrow))),
        )
        expect(coveredBy(matches)).toEqual(slowly)
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    [{}, { path: '/a' }, true],
    ['true', 'http.host eq "a"', true],
    [{ path: '/a' }, { path: '/a' }, true],
    [{ path: '/a' }, { path: ['/a/b', '/a'] }, true],
    [{ path: '/a' }, { path: ['/a', '/b'] }, false],
    [{ path: '/a' }, { path: '/ab' }, false],
    [{ path: '/a' }, 'starts_with(http.request.uri.path, "/a/")', false],
    [{ host: '*.test' }, { host: 'a.test', path: '/x' }, true],
    [{ host: '*.test' }, { host: 'test' }, false],
    [{ methods: ['GET'] }, { methods: ['GET', 'HEAD'] }, false],
    ['http.host eq "a"', 'http.host eq "a"', true],
    ['http.host eq "a"', { host: 'a' }, false],
  ])('%j over %j: %s', (wide, narrow, expected) => {
    expect(covers(coverOf(wide), coverOf(narrow))).toBe(expected)
  })
})

import { describe, expect, it } from 'vitest'
import { compileExpression, literalsOf } from './expression.ts'
import { environmentA } from './subject.fixture.ts'

const of = (source: string) => literalsOf(compileExpression(source, environmentA))
const nothing = { host: undefined, path: undefined, methods: undefined }
const path = (parts: object) => ({ exact: [], prefixes: [], foldedPrefixes: [], ...parts })
const host = (parts: object) => ({ exact: [], suffixes: [], ...parts })

describe('what a condition demands', () => {
  it.each<[string, object]>([
    ['true', { ...nothing, isComplete: true }],
    ['ssl', { ...nothing, isComplete: false }],
    ['http.host eq "a"', { ...nothing, host: host({ exact: ['a'] }), isComplete: true }],
    ['http.host in {"a" "b"}', { ...nothing, host: host({ exact: ['a', 'b'] }), isComplete: true }],
    [
      'http.host wildcard "*.Example.com"',
      { ...nothing, host: host({ suffixes: ['.example.com'] }), isComplete: true },
    ],
    [
      'http.host wildcard "a*.example.com"',
      { ...nothing, host: host({ suffixes: ['.example.com'] }), isComplete: false },
    ],
    [
      'ends_with(http.host, ".example.com")',
      { ...nothing, host: host({ suffixes: ['.example.com'] }), isComplete: true },
    ],
    [
      'http.host eq "a" or ends_with(http.host, ".a")',
      { ...nothing, host: host({ exact: ['a'], suffixes: ['.a'] }), isComplete: true },
    ],
    ['http.host eq "a" or http.request.uri.path eq "/b"', { ...nothing, isComplete: false }],
    ['http.host ne "a"', { ...nothing, isComplete: false }],
    ['not http.host eq "a"', { ...nothing, isComplete: false }],
    ['http.host eq "a" xor http.host eq "b"', { ...nothing, isComplete: false }],
    [
      'http.request.uri.path eq "/a"',
      { ...nothing, path: path({ exact: ['/a'] }), isComplete: true },
    ],
    [
      'starts_with(http.request.uri.path, "/a")',
      { ...nothing, path: path({ prefixes: ['/a'] }), isComplete: true },
    ],
    ['starts_with(http.request.uri.path, "")', { ...nothing, isComplete: false }],
    [
      'http.request.uri.path wildcard "/v1/*"',
      { ...nothing, path: path({ foldedPrefixes: ['/v1/'] }), isComplete: true },
    ],
    [
      'http.request.uri.path strict wildcard "/V1/*"',
      { ...nothing, path: path({ prefixes: ['/V1/'] }), isComplete: true },
    ],
    [
      'http.request.uri.path wildcard "/1/*"',
      { ...nothing, path: path({ prefixes: ['/1/'] }), isComplete: true },
    ],
    [
      'http.request.uri.path strict wildcard "/a/*/b"',
      { ...nothing, path: path({ prefixes: ['/a/'] }), isComplete: false },
    ],
    ['http.request.uri.path wildcard "*/a"', { ...nothing, isComplete: false }],
    [
      'http.host eq "a" and (http.request.uri.path eq "/x" or starts_with(http.request.uri.path, "/x/")) and http.request.method in {"GET" "HEAD"}',
      {
        host: host({ exact: ['a'] }),
        path: path({ exact: ['/x'], prefixes: ['/x/'] }),
        methods: ['GET', 'HEAD'],
        isComplete: true,
      },
    ],
    ['http.host eq "a" and ssl', { ...nothing, host: host({ exact: ['a'] }), isComplete: false }],
    [
      'http.host eq "a" and http.host eq "b"',
      { ...nothing, host: host({ exact: ['a'] }), isComplete: false },
    ],
    ['http.host eq "a" and true', { ...nothing, host: host({ exact: ['a'] }), isComplete: true }],
    ['lower(http.host) eq "a"', { ...nothing, isComplete: false }],
  ])('%s', (source, expected) => {
    expect(of(source)).toEqual(expected)
  })
})

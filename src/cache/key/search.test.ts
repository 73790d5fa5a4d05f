/** What stands in the key besides the URL: No-Vary-Search, and the body of a QUERY. */
import { describe, expect, it } from 'vitest'
import type { BodySource } from '../../exchange.ts'
import { bytes, reply, World } from '../world.fixture.ts'
import { parseNoVarySearch, significantQuery } from './search-variance.ts'

const FRESH = { 'Cache-Control': 'max-age=60' }

describe('No-Vary-Search', () => {
  it.each([
    { field: 'params=("a")', first: '/p?a=1&b=1', second: '/p?b=1&a=2', hit: true },
    { field: 'params=("a")', first: '/p?a=1&b=1', second: '/p?b=1', hit: true },
    { field: 'params=("a")', first: '/p?a=1&b=1', second: '/p?b=2', hit: false },
    { field: 'params=("a")', first: '/p?a=1', second: '/q?a=2', hit: false },
    { field: 'params', first: '/p?a=1', second: '/p?x=9', hit: true },
    { field: 'params, except=("b")', first: '/p?a=1&b=1', second: '/p?b=1&c=1', hit: true },
    { field: 'params, except=("b")', first: '/p?a=1&b=1', second: '/p?b=2', hit: false },
    { field: 'key-order', first: '/p?a=1&b=1', second: '/p?b=1&a=1', hit: true },
    { field: 'key-order', first: '/p?a=1&a=2', second: '/p?a=2&a=1', hit: false },
    { field: 'key-order=?0', first: '/p?a=1&b=1', second: '/p?b=1&a=1', hit: false },
    { field: 'except=("b")', first: '/p?a=1', second: '/p?a=2', hit: false },
    { field: 'params=(a)', first: '/p?a=1', second: '/p?a=2', hit: false },
    { field: 'params=("a"', first: '/p?a=1', second: '/p?a=2', hit: false },
  ])('$field: $first, then $second', async ({ field, first, second, hit }) => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, 'No-Vary-Search': field }, 'x')
    await world.ask(first)
    await world.ask(second)
    expect(world.asked).toHaveLength(hit ? 1 : 2)
  })

  it('names are compared as they are read', () => {
    const rule = parseNoVarySearch('params=("a b")')
    expect(significantQuery('a%20b=1&a+b=2&c=3', rule!)).toBe('c=3')
  })
})

describe('QUERY (RFC 10008)', () => {
  const bodyOf = (text: string, truncated = false): BodySource => ({
    length: text.length,
    prefix: () => ({ bytes: bytes(text), truncated }),
    open: () => bytes(text),
    isReplayable: true,
    discard: () => undefined,
  })

  it('is answered again for the same question, and no other', async () => {
    const world = new World()
    world.origin = () => reply(200, FRESH, `answer ${world.asked.length}`)
    const ask = (text: string, type = 'a/b', truncated = false) =>
      world.ask('/q', {
        method: 'QUERY',
        headers: { 'Content-Type': type },
        body: bodyOf(text, truncated),
      })
    expect((await ask('one')).text).toBe('answer 1')
    expect((await ask('one')).text).toBe('answer 1')
    expect(world.asked[0]).toMatchObject({ method: 'QUERY', withBody: true })
    expect((await ask('two')).text).toBe('answer 2')
    expect((await ask('one', 'c/d')).text).toBe('answer 3')
    expect((await ask('long', 'a/b', true)).text).toBe('answer 4')
    expect((await ask('long', 'a/b', true)).text).toBe('answer 5')
    expect((await world.ask('/q')).text).toBe('answer 6')
  })
})

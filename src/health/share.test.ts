import { describe, expect, it } from 'vitest'
import { isProbeOwner, SharedHealth } from './share.ts'

describe('SharedHealth', () => {
  /** `+` up, `-` down, one letter a node. */
  const heard = (marks: string, ages: number[] = []) => {
    const shared = new SharedHealth(15_000)
    ;[...marks].forEach((mark, i) => {
      const at = 100_000 - (ages[i] ?? 0)
      shared.accept({ node: `n${i}`, origin: 'o', isUp: mark === '+', at, epoch: 1 })
    })
    return shared.opinion('o', 100_000)
  }
  it.each([
    ['', [], 'unknown'],
    ['-', [], 'unknown'],
    ['--', [], 'down'],
    ['-+', [], 'unknown'],
    ['--+', [], 'down'],
    ['-++', [], 'up'],
    ['--+++', [20_000, 20_000], 'up'],
    ['--+++', [0, 0, 20_000, 20_000], 'down'],
  ])('%s aged %j: %s', (marks, ages, expected) => {
    expect(heard(marks, ages as number[])).toBe(expected)
  })

  it('drops what arrives late, and what is about origins that are gone', () => {
    const shared = new SharedHealth(15_000)
    for (const node of ['a', 'b']) {
      shared.accept({ node, origin: 'o', isUp: false, at: 10, epoch: 2 })
      shared.accept({ node, origin: 'o', isUp: true, at: 11, epoch: 1 })
    }
    expect(shared.opinion('o', 20)).toBe('down')
    shared.keepOnly(new Set())
    expect(shared.opinion('o', 20)).toBe('unknown')
  })
})

/** FNV-1a, finished so that the high bits depend on every letter. */
function hashKey(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

describe('isProbeOwner', () => {
  const nodes = ['a', 'b', 'c', 'd', 'e']
  const owners = (origin: string, among: string[]) =>
    among.filter((node) => isProbeOwner(node, among, origin, hashKey))

  it('gives each origin two gateways, evenly, and moves only those of one that leaves', () => {
    const load = new Map<string, number>()
    for (let i = 0; i < 1000; i++) {
      const before = owners(`o${i}`, nodes)
      expect(before).toHaveLength(2)
      for (const node of before) load.set(node, (load.get(node) ?? 0) + 1)
      const after = owners(`o${i}`, nodes.slice(1))
      expect(before.filter((node) => node !== 'a').every((node) => after.includes(node))).toBe(true)
    }
    for (const count of load.values()) expect(Math.abs(count - 400)).toBeLessThan(80)
    expect(owners('o', ['a'])).toEqual(['a'])
  })
})

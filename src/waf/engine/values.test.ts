import { expect, it } from 'vitest'
import { TextNode } from './values.ts'

it('asks each transformation once for a text, also one that changes nothing', () => {
  const node = new TextNode('same')
  let asked = 0
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 70; index++) {
      const apply = (bytes: string) => {
        asked++
        return index % 2 === 0 ? bytes : `${bytes}!`
      }
      const next = node.apply({ name: `t${index}`, index, bit: index < 31 ? 1 << index : 0, apply })
      expect(next.bytes).toBe(index % 2 === 0 ? 'same' : 'same!')
      expect(next === node).toBe(index % 2 === 0)
    }
  }
  expect(asked).toBe(70)
})

import { expect, it } from 'vitest'
import { EventRing } from './events.ts'

it('keeps the newest, hands out what came after a sequence, and filters by kind', () => {
  const ring = new EventRing(3, 'a')
  const heard: number[] = []
  const stop = ring.subscribe((event) => heard.push(event.sequence))
  for (let i = 1; i <= 5; i++) ring.add(i % 2 === 0 ? 'health' : 'security', i, `e${i}`, {})
  stop()
  ring.add('config', 6, 'e6', {}, 'request')
  expect(heard).toEqual([1, 2, 3, 4, 5])
  expect(ring.since(0).map((event) => event.what)).toEqual(['e4', 'e5', 'e6'])
  expect(ring.since(5).map((event) => event.requestId)).toEqual(['request'])
  expect(ring.since(6)).toEqual([])
  expect(ring.since(0).map((event) => event.id)).toEqual(['a-4', 'a-5', 'a-6'])
  expect(ring.since(0, 1).map((event) => event.what)).toEqual(['e6'])
  expect(ring.since(0, 9, 'security').map((event) => event.what)).toEqual(['e5'])
  expect(ring.sequence).toBe(6)
})

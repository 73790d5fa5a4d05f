import { describe, expect, it } from 'vitest'
import { cardNumbers, findLeaks } from './leak.ts'

describe('findLeaks', () => {
  it.each([
    'You have an error in your SQL syntax; check the manual',
    'Traceback (most recent call last):\n  File "app.py"',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIE',
    'root:x:0:0:root:/root:/bin/bash',
    '<title>Index of /backup</title>',
    'Card: 4111 1111 1111 1111',
  ])('finds %s', (body) => {
    expect(findLeaks(body)[0]?.score).toBeGreaterThanOrEqual(80)
  })

  it.each([
    '<html><body><h1>Welcome</h1><p>Our index of products</p></body></html>',
    'Order 4111111111111112 was shipped',
    '{"id":1234567890123456}',
  ])('leaves alone %s', (body) => {
    expect(findLeaks(body)).toEqual([])
  })

  it('checks the digit of card numbers', () => {
    expect(cardNumbers('4111-1111-1111-1111 378282246310005 5555555555554444')).toBe(3)
    expect(cardNumbers('4111-1111-1111-1112')).toBe(0)
  })
})

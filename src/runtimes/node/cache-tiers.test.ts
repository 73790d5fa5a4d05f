import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../config/errors.ts'
import { sealKey } from './cache-tiers.ts'

describe('the key of a tier', () => {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => i * 8)
  const buffer = Buffer.from(bytes)
  it.each([
    buffer.toString('hex'),
    buffer.toString('hex').toUpperCase(),
    buffer.toString('base64'),
    buffer.toString('base64url'),
    `${buffer.toString('base64')}\n`,
  ])('is read from %s', (text) => expect(sealKey(text, 'cache.disk.key')).toEqual(bytes))
  it.each([
    '',
    'short',
    'x'.repeat(64),
    Buffer.alloc(31).toString('hex'),
    Buffer.alloc(33).toString('base64'),
    `${'A'.repeat(42)}!`,
  ])('is not %j', (text) => expect(() => sealKey(text, 'cache.disk.key')).toThrow(ConfigError))
})

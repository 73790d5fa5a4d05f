import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../config/errors.ts'
import { diskKey } from './cache-tiers.ts'

describe('the key of the disk', () => {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => i * 8)
  const buffer = Buffer.from(bytes)
  it.each([
    buffer.toString('hex'),
    buffer.toString('hex').toUpperCase(),
    buffer.toString('base64'),
    buffer.toString('base64url'),
    `${buffer.toString('base64')}\n`,
  ])('is read from %s', (text) => expect(diskKey(text)).toEqual(bytes))
  it.each([
    '',
    'short',
    'x'.repeat(64),
    Buffer.alloc(31).toString('hex'),
    Buffer.alloc(33).toString('base64'),
    `${'A'.repeat(42)}!`,
  ])('is not %j', (text) => expect(() => diskKey(text)).toThrow(ConfigError))
})

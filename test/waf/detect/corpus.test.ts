/** The texts of `test/waf/corpus`: attacks are blocked, ordinary texts pass; and nothing throws. */
import { readdirSync, readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classify } from '../../../src/waf/detect/classify.ts'
import { attackScores } from '../../../src/waf/detect/score.ts'
import type { Place } from '../../../src/waf/detect/types.ts'

const corpus = new URL('../corpus/', import.meta.url)
const BLOCK_BELOW = 20

function texts(kind: string): { file: string; lines: string[] }[] {
  return readdirSync(new URL(`${kind}/`, corpus)).map((file) => ({
    file,
    lines: readFileSync(new URL(`${kind}/${file}`, corpus), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => Buffer.from(line, 'utf8').toString('latin1')),
  }))
}

const encodings: Record<string, (text: string) => string> = {
  plain: (text) => text,
  url: (text) => encodeURIComponent(Buffer.from(text, 'latin1').toString('utf8')),
  base64: (text) => Buffer.from(text, 'latin1').toString('base64'),
}

function blocked(text: string, place: Place): boolean {
  return attackScores(classify(text, place)).total < BLOCK_BELOW
}

function placesOf(file: string): Place[] {
  if (file === 'scanner.txt' || file === 'user-agents.txt') return ['user-agent']
  return ['query', 'form', 'json', 'cookie', 'multipart']
}

describe('corpus', () => {
  it.each(texts('attacks'))('$file: at least 90 % blocked', ({ file, lines }) => {
    for (const place of placesOf(file)) {
      for (const [name, encode] of Object.entries(encodings)) {
        if (place === 'user-agent' && name !== 'plain') continue
        const passed = lines.filter((line) => !blocked(encode(line), place))
        expect({ place, name, passed, share: passed.length / lines.length <= 0.1 }).toMatchObject({
          share: true,
        })
      }
    }
  })

  it.each(texts('benign'))('$file: at least 98 % passed', ({ file, lines }) => {
    for (const place of placesOf(file)) {
      for (const encode of Object.values(encodings)) {
        const wrong = lines.filter((line) => blocked(encode(line), place))
        expect(wrong.length / lines.length, wrong.join('\n')).toBeLessThanOrEqual(0.02)
      }
    }
  })

  it('throws on nothing, and says the same twice', () => {
    const pieces = texts('attacks').flatMap(({ lines }) => lines)
    const piece = fc.oneof(
      fc.constantFrom(...pieces),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom(
        "'",
        '"',
        '`',
        '<',
        '{{',
        '${',
        '%',
        '&#',
        '\\u',
        '/*',
        '--',
        '\n',
        '(',
        '\0',
      ),
    )
    const place = fc.constantFrom<Place>('path', 'query', 'json', 'header', 'cookie', 'body', 'xml')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5 }), place, (parts, at) => {
        const text = parts.join('')
        expect(classify(text, at)).toEqual(classify(text, at))
      }),
      { numRuns: 1500 },
    )
  })
})

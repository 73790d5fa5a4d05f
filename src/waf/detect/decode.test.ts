import { describe, expect, it } from 'vitest'
import { base64Text, escapeDecode, htmlDecode, readings, urlDecode } from './decode.ts'

describe('decoding', () => {
  it.each([
    ['%3Cb%3E', '<b>'],
    ['%u003cb', '<b'],
    ['100%', '100%'],
    ['%zz%4', '%zz%4'],
    ['a+b', 'a b'],
  ])('urlDecode(%s) = %s', (text, expected) => {
    expect(urlDecode(text, true)).toBe(expected)
  })

  it.each([
    ['&lt;b&gt;', '<b>'],
    ['&#x000003c;b', '<b'],
    ['&#60b', '<b'],
    ['&colon;&Tab;&lpar;', ':\t('],
    ['R&D &unknown; &', 'R&D &unknown; &'],
  ])('htmlDecode(%s) = %s', (text, expected) => {
    expect(htmlDecode(text)).toBe(expected)
  })

  it.each([
    ['\\u003cb', '<b'],
    ['\\x3cb', '<b'],
    ['\\u{3c}b', '<b'],
    ['\\074b', '<b'],
    ['C:\\Users', 'C:\\Users'],
  ])('escapeDecode(%s) = %s', (text, expected) => {
    expect(escapeDecode(text)).toBe(expected)
  })

  it.each([
    ['PGI+aGk8L2I+', '<b>hi</b>'],
    ['PGI aGk8L2I ', '<b>hi</b>'],
    ['data:text/plain;base64,PGI+aGk8L2I+', '<b>hi</b>'],
    ['550e8400e29b41d4', undefined],
    ['hello', undefined],
  ])('base64Text(%s) = %s', (text, expected) => {
    expect(base64Text(text)).toBe(expected)
  })

  it.each([
    ['%253Cb%253E', '<b>'],
    ['%26lt%3Bb', '<b'],
    ['%c0%ae%c0%ae/', '../'],
    ['\xef\xbc\x9cb', '<b'],
    ['+ADw-b', '<b'],
    ['/etc/./passwd', '/etc/passwd'],
    [encodeURIComponent('PGI+aGk8L2I+'), '<b>hi</b>'],
  ])('the readings of %s have %s', (text, expected) => {
    expect(readings(text, true).map((form) => form.text)).toContain(expected)
  })

  it('stops: rounds and readings are bounded', () => {
    let text = '<'
    for (let i = 0; i < 40; i++) text = encodeURIComponent(text)
    expect(readings(text, true).length).toBeLessThanOrEqual(8)
  })
})

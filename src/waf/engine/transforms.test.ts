import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TRANSFORM_NAMES, transformByName } from './transforms.ts'

const bytes = fc
  .array(fc.integer({ min: 0, max: 255 }), { maxLength: 200 })
  .map((codes) => String.fromCharCode(...codes))
/** Texts full of what decoders look for. */
const tricky = fc
  .array(
    fc.constantFrom(
      ...[
        '%',
        '%u',
        '%41',
        '+',
        '\\',
        '\\x4',
        '\\u00',
        '&#',
        '&lt',
        ';',
        '0x',
        '/*',
        '*/',
        '..',
        '/',
        ' ',
      ],
      ...[
        'a',
        '7',
        'ff',
        '\0',
        '\xc3\xa4',
        '\xf0\x9f',
        '\n',
        '--',
        '#',
        '<!--',
        "'",
        '"',
        '^',
        '(',
        '=',
      ],
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(''))

describe('transformations', () => {
  it.each([
    ['urlDecode', 'a%20b+c%2', 'a b c%2'],
    ['urlDecodeUni', '%u0027%uff1c%u2215%zz%27', "'</%zz'"],
    ['htmlEntityDecode', '&lt;&#x3c;&#0000000000060&amp;&quot;&nope;&#;', '<<<&"&nope;&#;'],
    ['jsDecode', '\\x3cscript\\u003e\\074\\q\\n', '<script><q\n'],
    ['cssDecode', 'ja\\76 ascript\\00003a x\\', 'javascript:x'],
    ['escapeSeqDecode', '\\x41\\101\\n\\\\\\q', 'AA\n\\\\q'],
    ['base64Decode', 'PHNjcmlwdD4=', '<script>'],
    ['base64Decode', 'PHNj.cmlwdD4', '<sc'],
    ['base64DecodeExt', 'PHNj.cmlwdD4', '<script>'],
    ['base64Encode', '<script>', 'PHNjcmlwdD4='],
    ['hexDecode', '3c73zz', '<s'],
    ['hexEncode', '<\xff', '3cff'],
    ['sqlHexDecode', 'select 0x414243,1', 'select ABC,1'],
    ['urlEncode', 'a b<', 'a+b%3c'],
    ['utf8toUnicode', '\xef\xbc\x9cx\xff', '%uff1cx\xff'],
    ['lowercase', 'AbC\xc4', 'abc\xc4'],
    ['uppercase', 'aBc\xe4', 'ABC\xe4'],
    ['compressWhitespace', 'a \t\n b\xa0c', 'a b c'],
    ['removeWhitespace', 'a \t\n b\xa0c', 'abc'],
    ['removeNulls', 'a\0b\0', 'ab'],
    ['replaceNulls', 'a\0b', 'a b'],
    ['replaceComments', 'a/*x*/b/*y', 'a b '],
    ['removeComments', 'a/*x*/b<!--y-->c-- d', 'abc'],
    ['removeCommentsChar', 'a/*x*/b--c#d', 'axbcd'],
    ['cmdLine', 'C^M"D,;  /c  (x', 'cmd/c(x'],
    ['normalizePath', '/a//b/./c/../../d/', '/a/d/'],
    ['normalizePath', '../../etc/passwd', '../../etc/passwd'],
    ['normalizePathWin', '\\a\\..\\b', '/b'],
    ['trim', ' \ta ', 'a'],
    ['trimLeft', ' a ', 'a '],
    ['trimRight', ' a ', ' a'],
    ['length', 'abc', '3'],
    ['parityZero7bit', '\xc1', 'A'],
  ])('%s of %j', (name, given, expected) => {
    expect(transformByName(name)?.apply(given)).toBe(expected)
  })

  it.each([
    ['sha1', 'abc', 'a9993e364706816aba3e25717850c26c9cd0d89d'],
    ['sha1', 'a'.repeat(200), 'e61cfffe0d9195a525fc6cf06ca2d77119c24a40'],
    ['md5', 'abc', '900150983cd24fb0d6963f7d28e17f72'],
    ['md5', '', 'd41d8cd98f00b204e9800998ecf8427e'],
  ])('%s of a known text', (name, given, hex) => {
    const digest = transformByName(name)?.apply(given) ?? ''
    expect(transformByName('hexEncode')?.apply(digest)).toBe(hex)
  })

  it.each(TRANSFORM_NAMES.map((name) => [name]))('%s gives bytes for any bytes', (name) => {
    const transform = transformByName(name)
    fc.assert(
      fc.property(fc.oneof(bytes, tricky), (text) => {
        const result = transform?.apply(text) ?? '\u{1f4a5}'
        for (let i = 0; i < result.length; i++) if (result.charCodeAt(i) > 255) return false
        return true
      }),
      { numRuns: 60 },
    )
  })

  it.each([
    ['urlDecode', (text: string) => text.replace(/[^a-z]/g, percent)],
    ['hexDecode', (text: string) => transformByName('hexEncode')?.apply(text) ?? ''],
    ['base64Decode', (text: string) => transformByName('base64Encode')?.apply(text) ?? ''],
    ['htmlEntityDecode', (text: string) => text.replace(/./gs, (c) => `&#${c.charCodeAt(0)};`)],
    ['jsDecode', (text: string) => text.replace(/./gs, (c) => `\\x${hex(c)}`)],
  ])('%s undoes its encoding', (name, encode) => {
    const transform = transformByName(name)
    fc.assert(fc.property(bytes, (text) => transform?.apply(encode(text)) === text))
  })
})

function hex(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(2, '0')
}

function percent(char: string): string {
  return `%${hex(char)}`
}

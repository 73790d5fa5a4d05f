/** The transformations by name: what `t:` and `"transforms"` may say. */
import * as clean from './cleaners.ts'
import * as decode from './decoders.ts'
import { md5, sha1 } from './digests.ts'

/** Byte string to byte string; the very same string when nothing changes. */
export type TransformFunction = (text: string) => string

export interface Transform {
  readonly name: string
  /** Dense, from 0: the slot under which a value keeps its result. */
  readonly index: number
  /** The bit under which a value remembers that nothing changes; 0 for none. */
  readonly bit: number
  readonly apply: TransformFunction
}

const FUNCTIONS: Readonly<Record<string, TransformFunction>> = {
  base64Decode: decode.base64Decode,
  base64DecodeExt: decode.base64DecodeExt,
  base64Encode: decode.base64Encode,
  cmdLine: clean.cmdLine,
  compressWhitespace: clean.compressWhitespace,
  cssDecode: decode.cssDecode,
  escapeSeqDecode: decode.escapeSeqDecode,
  hexDecode: decode.hexDecode,
  hexEncode: decode.hexEncode,
  htmlEntityDecode: decode.htmlEntityDecode,
  jsDecode: decode.jsDecode,
  length: clean.length,
  lowercase: clean.lowercase,
  md5,
  normalizePath: clean.normalizePath,
  normalizePathWin: clean.normalizePathWin,
  parityEven7bit: clean.parityEven7bit,
  parityOdd7bit: clean.parityOdd7bit,
  parityZero7bit: clean.parityZero7bit,
  removeComments: clean.removeComments,
  removeCommentsChar: clean.removeCommentsChar,
  removeNulls: clean.removeNulls,
  removeWhitespace: clean.removeWhitespace,
  replaceComments: clean.replaceComments,
  replaceNulls: clean.replaceNulls,
  sha1,
  sqlHexDecode: decode.sqlHexDecode,
  trim: clean.trim,
  trimLeft: clean.trimLeft,
  trimRight: clean.trimRight,
  uppercase: clean.uppercase,
  urlDecode: decode.urlDecode,
  urlDecodeUni: decode.urlDecodeUni,
  urlEncode: decode.urlEncode,
  utf8toUnicode: decode.utf8toUnicode,
}

/** The British spelling is as common in rules. */
const ALIASES: Readonly<Record<string, string>> = {
  normalisepath: 'normalizePath',
  normalisepathwin: 'normalizePathWin',
}

/** Hardly ever asked for, or never without effect: they have no bit in a value's memory. */
const RARE: ReadonlySet<string> = new Set([
  'length',
  'md5',
  'sha1',
  'parityEven7bit',
  'parityOdd7bit',
  'parityZero7bit',
])

const byName = new Map<string, Transform>()
const byRarity = Object.keys(FUNCTIONS)
byRarity.sort((a, b) => Number(RARE.has(a)) - Number(RARE.has(b)))
for (const [index, name] of byRarity.entries()) {
  const bit = index < 31 ? 1 << index : 0
  byName.set(name.toLowerCase(), { name, index, bit, apply: FUNCTIONS[name] as TransformFunction })
}

/** A bit that no value has. */
const NEVER = 1 << 31

/** For `TextNode.isKeptBy`: the bits of a list of transformations. */
export function bitsOf(transforms: readonly Transform[]): number {
  let bits = 0
  for (const { bit } of transforms) bits |= bit === 0 ? NEVER : bit
  return bits
}

export const TRANSFORM_NAMES: readonly string[] = Object.keys(FUNCTIONS)

/** By name in any case, as SecLang has it; `none` is not one: it empties the list. */
export function transformByName(name: string): Transform | undefined {
  const lower = name.toLowerCase()
  return byName.get(ALIASES[lower]?.toLowerCase() ?? lower)
}

/**
 * The functions of the language, except those that decide which of their arguments count (`any`, `all`,
 * `if`, `coalesce`): the compiler knows these.
 */
import type { IpAddress } from '../exchange.ts'
import { ipv4FromWord, ipv6FromWords } from '../http/ip.ts'
import { fromUint8Array, lowerAscii, toUint8Array, upperAscii } from './bytes.ts'
import { decodeBase64, encodeBase64, urlDecode } from './encodings.ts'
import {
  type Apply,
  ArgumentError,
  type FunctionDefinition,
  integer,
  ofKinds,
  type Param,
  text,
} from './function.ts'
import { lookupJson } from './json.ts'
import { percentDecode } from './pairs.ts'
import { byteRegex, RegexError } from './regex/regex.ts'
import { sha256 } from './sha256.ts'
import { isTimedHmacValid } from './timed-hmac.ts'
import {
  BOOL,
  BYTES,
  INT,
  IP,
  STRINGS,
  type Type,
  textOf,
  type Value,
  type ValueMap,
} from './types.ts'
import { parseWildcard, WildcardError, wildcardCaptures } from './wildcard.ts'

const LITERAL = { isLiteral: true } as const
const OPTIONAL_LITERAL = { isLiteral: true, isOptional: true } as const
const jsonKey: Param = ofKinds('key', 'String or Integer', 'bytes', 'int')

/** A function that has nothing to prepare. */
function plain(
  name: string,
  params: readonly Param[],
  returns: Type,
  description: string,
  apply: Apply,
): FunctionDefinition {
  return { name, params, returns, description, prepare: () => apply }
}

function flagsIn(value: Value | undefined, index: number, known: string): string {
  const flags = typeof value === 'string' ? value : ''
  for (const flag of flags) {
    if (!known.includes(flag)) {
      throw new ArgumentError(
        index,
        `unknown flag ${JSON.stringify(flag)}; known are ${[...known].join(', ')}`,
      )
    }
  }
  return flags
}

function bitsIn(value: Value | undefined, index: number, most: number): number {
  if (typeof value !== 'number' || value < 1 || value > most) {
    throw new ArgumentError(index, `network bits are between 1 and ${most}`)
  }
  return value
}

/** The network address of the first `bits` bits. */
function network(ip: IpAddress, bits4: number, bits6: number): IpAddress {
  const bits = ip.family === 4 ? bits4 : bits6
  const words = ip.words.map((word, i) => {
    const kept = Math.min(32, Math.max(0, bits - 32 * i))
    return kept === 0 ? 0 : kept === 32 ? word : (word & (0xffffffff << (32 - kept))) >>> 0
  })
  return ip.family === 4 ? ipv4FromWord(words[0] as number) : ipv6FromWords(words)
}

const GROUP_REFERENCES = `\${1} to \${8}`
const REFERENCE = /\$\$|\$\{([1-8])\}/g

/** Checks a replacement text: `$$` and `${1}` to `${8}`, no other `$`. */
function checkReplacement(value: Value | undefined, index: number, groups: number): string {
  const replacement = String(value)
  if ((replacement.match(/\$\{/g)?.length ?? 0) > 8) {
    throw new ArgumentError(index, 'a replacement has at most 8 references to groups')
  }
  const rest = replacement.replace(REFERENCE, (whole, group: string | undefined) => {
    if (group !== undefined && Number(group) > groups) {
      throw new ArgumentError(index, `there is no group ${whole}: the pattern has ${groups}`)
    }
    return ''
  })
  if (rest.includes('$'))
    throw new ArgumentError(index, `write $$ for a dollar sign, ${GROUP_REFERENCES} for groups`)
  return replacement
}

function fill(replacement: string, groups: readonly (string | undefined)[]): string {
  return replacement.replace(REFERENCE, (_, group: string | undefined) =>
    group === undefined ? '$' : (groups[Number(group)] ?? ''),
  )
}

function prepareRegexReplace(constants: readonly (Value | undefined)[]): Apply {
  let regex: ReturnType<typeof byteRegex>
  try {
    regex = byteRegex(String(constants[1]))
  } catch (error) {
    if (error instanceof RegexError) throw new ArgumentError(1, error.message, error.offset)
    throw error
  }
  const replacement = checkReplacement(constants[2], 2, regex.groups)
  return (source: string) => {
    const match = regex.exec(source)
    if (match === undefined) return source
    const end = match.index + (match.groups[0] as string).length
    return source.slice(0, match.index) + fill(replacement, match.groups) + source.slice(end)
  }
}

function prepareWildcardReplace(constants: readonly (Value | undefined)[]): Apply {
  let pieces: string[]
  try {
    pieces = parseWildcard(String(constants[1]))
  } catch (error) {
    if (error instanceof WildcardError) throw new ArgumentError(1, error.message, error.offset)
    throw error
  }
  const replacement = checkReplacement(constants[2], 2, pieces.length - 1)
  const isStrict = flagsIn(constants[3], 3, 's') === 's'
  return (source: string) => {
    const captures = wildcardCaptures(pieces, isStrict, source)
    return captures === undefined ? source : fill(replacement, [source, ...captures])
  }
}

function split(source: string, separator: string, limit: number): string[] {
  const parts: string[] = []
  let from = 0
  while (parts.length < limit - 1) {
    const at = source.indexOf(separator, from)
    if (at < 0) break
    parts.push(source.slice(from, at))
    from = at + separator.length
  }
  parts.push(source.slice(from))
  return parts
}

function removeBytes(source: string, removed: string): string {
  let kept = ''
  let from = 0
  for (let i = 0; i < source.length; i++) {
    if (!removed.includes(source[i] as string)) continue
    kept += source.slice(from, i)
    from = i + 1
  }
  return from === 0 ? source : kept + source.slice(from)
}

function removeQueryArgs(query: string, ...names: string[]): string {
  return query
    .split('&')
    .filter((piece) => {
      const equals = piece.indexOf('=')
      return !names.includes(equals < 0 ? piece : piece.slice(0, equals))
    })
    .join('&')
}

const INTEGER = /^-?(?:0|[1-9][0-9]*)$/

function uuid(bytes: string): string | undefined {
  if (bytes.length < 16) return undefined
  let hex = ''
  for (let i = 0; i < 16; i++) {
    let byte = bytes.charCodeAt(i)
    // RFC 9562 §5.4: version 4, variant 10.
    if (i === 6) byte = (byte & 0x0f) | 0x40
    else if (i === 8) byte = (byte & 0x3f) | 0x80
    hex += byte.toString(16).padStart(2, '0')
    if (i === 3 || i === 5 || i === 7 || i === 9) hex += '-'
  }
  return hex
}

const definitions: readonly FunctionDefinition[] = [
  {
    name: 'cidr',
    params: [
      ofKinds('address', 'IP address', 'ip'),
      integer('ipv4_bits', LITERAL),
      integer('ipv6_bits', LITERAL),
    ],
    returns: IP,
    description: 'Network address of an address.',
    prepare: (constants) => {
      const bits4 = bitsIn(constants[1], 1, 32)
      const bits6 = bitsIn(constants[2], 2, 128)
      return (ip: IpAddress) => network(ip, bits4, bits6)
    },
  },
  {
    name: 'cidr6',
    params: [ofKinds('address', 'IP address', 'ip'), integer('ipv6_bits', LITERAL)],
    returns: IP,
    description: 'Network address of an IPv6 address; an IPv4 address as it is.',
    prepare: (constants) => {
      const bits6 = bitsIn(constants[1], 1, 128)
      return (ip: IpAddress) => network(ip, 32, bits6)
    },
  },
  {
    name: 'concat',
    params: [ofKinds('first', 'String or Array', 'bytes', 'array')],
    rest: ofKinds('more', 'String or Array', 'bytes', 'array'),
    returns: (types) => {
      const first = types[0] as Type
      types.forEach((type, i) => {
        if (type.name !== first.name) {
          throw new ArgumentError(
            i,
            `all arguments have one type: ${first.name} is expected, not ${type.name}`,
          )
        }
      })
      return first
    },
    description: 'Joins strings, or arrays; a missing value counts as empty.',
    missing: 'empty',
    prepare:
      () =>
      (...parts: (string | readonly Value[])[]) =>
        typeof parts[0] === 'string' ? parts.join('') : parts.flat(),
  },
  plain(
    'decode_base64',
    [text('source')],
    BYTES,
    'Decodes Base64, padded or not; missing when it is none.',
    decodeBase64,
  ),
  {
    name: 'encode_base64',
    params: [text('source'), text('flags', OPTIONAL_LITERAL)],
    returns: BYTES,
    description:
      'Encodes Base64 without padding; flags: "p" adds padding, "u" takes the URL-safe alphabet.',
    prepare: (constants) => {
      const flags = flagsIn(constants[1], 1, 'pu')
      return (source: string) => encodeBase64(source, flags.includes('u'), flags.includes('p'))
    },
  },
  plain(
    'ends_with',
    [text('source'), text('suffix')],
    BOOL,
    'Whether the source ends so.',
    (source: string, suffix: string) => source.endsWith(suffix),
  ),
  plain(
    'starts_with',
    [text('source'), text('prefix')],
    BOOL,
    'Whether the source begins so.',
    (source: string, prefix: string) => source.startsWith(prefix),
  ),
  plain(
    'join',
    [
      { name: 'items', accepts: (type) => type.name === STRINGS.name, expected: STRINGS.name },
      text('separator'),
    ],
    BYTES,
    'Joins the strings of an array.',
    (items: readonly string[], separator: string) => items.join(separator),
  ),
  {
    name: 'split',
    params: [text('source'), text('separator', LITERAL), integer('limit', LITERAL)],
    returns: STRINGS,
    description: 'Splits into at most `limit` (1 to 128) strings; the last one holds the rest.',
    prepare: (constants) => {
      if (constants[1] === '') throw new ArgumentError(1, 'the separator is not empty')
      const limit = constants[2] as number
      if (limit < 1 || limit > 128) throw new ArgumentError(2, 'the limit is between 1 and 128')
      return split
    },
  },
  plain(
    'len',
    [ofKinds('value', 'String, Array or Map', 'bytes', 'array', 'map')],
    INT,
    'Bytes of a string, items of an array, keys of a map.',
    (value: string | readonly Value[] | ValueMap) =>
      'size' in Object(value) ? (value as ValueMap).size : (value as string).length,
  ),
  {
    name: 'lookup_json_string',
    params: [text('json'), jsonKey],
    rest: jsonKey,
    returns: BYTES,
    description: 'The string at a path of keys and positions; missing when there is none.',
    prepare:
      () =>
      (json: string, ...path: (string | number)[]) => {
        const found = lookupJson(json, path)
        return found?.kind === 'string' ? found.text : undefined
      },
  },
  {
    name: 'lookup_json_integer',
    params: [text('json'), jsonKey],
    rest: jsonKey,
    returns: INT,
    description: 'The integer at a path of keys and positions; missing when there is none.',
    prepare:
      () =>
      (json: string, ...path: (string | number)[]) => {
        const found = lookupJson(json, path)
        if (found?.kind !== 'number' || !INTEGER.test(found.text)) return undefined
        const value = Number(found.text)
        return Number.isSafeInteger(value) ? value : undefined
      },
  },
  plain('lower', [text('source')], BYTES, 'ASCII letters in lower case.', lowerAscii),
  plain('upper', [text('source')], BYTES, 'ASCII letters in upper case.', upperAscii),
  {
    name: 'regex_replace',
    params: [text('source'), text('pattern', LITERAL), text('replacement', LITERAL)],
    returns: BYTES,
    description: `Replaces the first match; ${GROUP_REFERENCES} are groups, $$ is a dollar sign.`,
    prepare: prepareRegexReplace,
  },
  {
    name: 'wildcard_replace',
    params: [
      text('source'),
      text('pattern', LITERAL),
      text('replacement', LITERAL),
      text('flags', OPTIONAL_LITERAL),
    ],
    returns: BYTES,
    description: `Replaces a whole value that matches; ${GROUP_REFERENCES} are what the stars stood for; flag "s": case-sensitive.`,
    prepare: prepareWildcardReplace,
  },
  plain(
    'remove_bytes',
    [text('source'), text('bytes')],
    BYTES,
    'Removes every occurrence of any of these bytes.',
    removeBytes,
  ),
  {
    name: 'remove_query_args',
    params: [text('query'), text('name')],
    rest: text('name'),
    returns: BYTES,
    description: 'Removes arguments from a query string.',
    prepare: () => removeQueryArgs,
  },
  plain(
    'substring',
    [text('source'), integer('start'), integer('end', { isOptional: true })],
    BYTES,
    'Bytes from `start` up to but without `end`; negative ones count from the end.',
    (source: string, start: number, end?: number) => source.slice(start, end),
  ),
  plain(
    'to_string',
    [ofKinds('value', 'Integer, Boolean, IP address or String', 'int', 'bool', 'ip', 'bytes')],
    BYTES,
    'The text of a value.',
    textOf,
  ),
  {
    name: 'url_decode',
    params: [text('source'), text('flags', OPTIONAL_LITERAL)],
    returns: BYTES,
    description: 'Decodes %HH and +; flags: "r" until nothing is left to decode, "u" %uXXXX too.',
    prepare: (constants) => {
      const flags = flagsIn(constants[1], 1, 'ru')
      const isRecursive = flags.includes('r')
      const hasUnicode = flags.includes('u')
      if (isRecursive || hasUnicode)
        return (source: string) => urlDecode(source, isRecursive, hasUnicode)
      return (source: string) =>
        percentDecode(source.includes('+') ? source.replaceAll('+', ' ') : source)
    },
  },
  plain(
    'uuidv4',
    [text('source')],
    BYTES,
    'A UUID, version 4, from 16 random bytes; missing when there are fewer.',
    uuid,
  ),
  plain('sha256', [text('source')], BYTES, 'SHA-256, 32 bytes.', (source: string) =>
    fromUint8Array(sha256(toUint8Array(source))),
  ),
  {
    name: 'is_timed_hmac_valid_v0',
    params: [
      text('key', LITERAL),
      text('message_mac'),
      integer('ttl', LITERAL),
      integer('now'),
      integer('separator_length', OPTIONAL_LITERAL),
      text('flags', OPTIONAL_LITERAL),
    ],
    returns: BOOL,
    description:
      'Whether a signed message (message, separator, timestamp, "-", Base64 of HMAC-SHA256) is genuine and not expired; flag "s": URL-safe Base64.',
    prepare: (constants) => {
      const key = toUint8Array(constants[0] as string)
      const separatorLength = (constants[4] as number | undefined) ?? 0
      if (separatorLength < 0)
        throw new ArgumentError(4, 'the length of the separator is not negative')
      const isUrlSafe = flagsIn(constants[5], 5, 's') === 's'
      return (_key: string, messageMac: string, ttl: number, now: number) =>
        isTimedHmacValid(key, messageMac, ttl, now, separatorLength, isUrlSafe)
    },
  },
]

export const FUNCTIONS: ReadonlyMap<string, FunctionDefinition> = new Map(
  definitions.map((definition) => [definition.name, definition]),
)

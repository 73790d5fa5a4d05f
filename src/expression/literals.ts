/** Reads literals for the type they must have: integers, addresses, byte strings, and what `in {}` takes. */
import type { IpAddress } from '../exchange.ts'
import type { IpRange } from '../http/cidr.ts'
import { parseIp } from '../http/ip.ts'
import type { Literal } from './ast.ts'
import { hexDigit } from './bytes.ts'
import { type IntRange, parseIpItem } from './lists.ts'
import type { Type, Value } from './types.ts'

/** What is wrong with a literal; the checker adds the place. */
export interface Wrong {
  readonly wrong: string
  readonly hint?: string
}

export function isWrong(read: unknown): read is Wrong {
  return typeof read === 'object' && read !== null && 'wrong' in read
}

export function readLiteral(literal: Literal, type: Type): Value | Wrong {
  switch (type.kind) {
    case 'bytes':
      return readBytes(literal)
    case 'int':
      return literal.form === 'bare'
        ? readInt(literal.text)
        : { wrong: 'an integer is expected, not a string' }
    case 'ip':
      return literal.form === 'bare'
        ? readIp(literal.text)
        : { wrong: 'an IP address is expected, not a string', hint: 'write it without quotes' }
    default:
      return { wrong: `there are no literals of type ${type.name}` }
  }
}

export function readBytes(literal: Literal): string | Wrong {
  if (literal.form === 'string') return literal.text
  return (
    readByteString(literal.text) ?? {
      wrong: `a string is expected, not ${literal.text}`,
      hint: `write "${literal.text}"`,
    }
  )
}

const BYTE_STRING = /^[0-9A-Fa-f]{2}(?:[:.-][0-9A-Fa-f]{2})+$/

/** `50:4F:53:54` */
export function readByteString(text: string): string | undefined {
  if (!BYTE_STRING.test(text)) return undefined
  let bytes = ''
  for (let i = 0; i < text.length; i += 3) {
    bytes += String.fromCharCode(
      hexDigit(text.charCodeAt(i)) * 16 + hexDigit(text.charCodeAt(i + 1)),
    )
  }
  return bytes
}

const INTEGER = /^(?:0x[0-9A-Fa-f]+|0[0-7]*|-?[1-9][0-9]*|-0)$/

/** Decimal, `0x` hexadecimal, or octal when it begins with 0. */
export function readInt(text: string): number | Wrong {
  if (!INTEGER.test(text)) {
    if (/^0[0-9]+$/.test(text))
      return { wrong: `${text} is not an octal integer`, hint: 'a leading 0 means octal' }
    return { wrong: `an integer is expected, not ${text}` }
  }
  const isOctal = /^0[0-7]+$/.test(text)
  const value = isOctal ? Number.parseInt(text, 8) : Number(text)
  if (!Number.isSafeInteger(value))
    return { wrong: `${text} is outside the integers from -2^53 to 2^53` }
  return value === 0 ? 0 : value
}

function readIp(text: string): IpAddress | Wrong {
  const ip = parseIp(text)
  if (ip !== undefined) return ip
  if (text.includes('/'))
    return { wrong: 'a CIDR block can only stand in a set', hint: `write in {${text}}` }
  return { wrong: `an IP address is expected, not ${text}` }
}

/** `1` or `1..5` */
export function readIntRange(literal: Literal): IntRange | Wrong {
  if (literal.form === 'string') return { wrong: 'an integer is expected, not a string' }
  const dots = literal.text.indexOf('..')
  const first = readInt(dots < 0 ? literal.text : literal.text.slice(0, dots))
  if (isWrong(first)) return first
  const last = dots < 0 ? first : readInt(literal.text.slice(dots + 2))
  if (isWrong(last)) return last
  return last < first ? { wrong: 'this range runs backwards' } : { first, last }
}

/** An address, a CIDR block or a range. */
export function readIpRange(literal: Literal): IpRange | Wrong {
  if (literal.form === 'string') {
    return { wrong: 'an IP address is expected, not a string', hint: 'write it without quotes' }
  }
  const { text } = literal
  const range = parseIpItem(text)
  if (range !== undefined) return range
  if (text.includes('..')) return { wrong: `${text} is not a range of addresses of one family` }
  const slash = text.indexOf('/')
  if (slash > 0 && parseIp(text.slice(0, slash)) !== undefined) {
    return { wrong: `${text} is not a CIDR block`, hint: 'the bits after the prefix must be zero' }
  }
  return { wrong: `an IP address, CIDR block or range is expected, not ${text}` }
}

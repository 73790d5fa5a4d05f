/**
 * Pieces of OTLP/JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): lower camel case,
 * 64-bit integers as decimal strings, enumerations as numbers, ids of traces and spans in hex.
 */
import type { Millis } from '../../exchange.ts'
import { quoted } from '../access-log.ts'

/** An attribute with text; nothing for empty text. Each begins with its comma. */
export function text(key: string, value: string): string {
  return value === '' ? '' : `,{"key":"${key}","value":{"stringValue":${quoted(value)}}}`
}

export function integer(key: string, value: number): string {
  return `,{"key":"${key}","value":{"intValue":"${value}"}}`
}

export function double(key: string, value: number): string {
  return `,{"key":"${key}","value":{"doubleValue":${number(value)}}}`
}

export function flag(key: string, value: boolean): string {
  return `,{"key":"${key}","value":{"boolValue":${value}}}`
}

export function texts(key: string, values: readonly string[]): string {
  if (values.length === 0) return ''
  const items = values.map((value) => `{"stringValue":${quoted(value)}}`).join(',')
  return `,{"key":"${key}","value":{"arrayValue":{"values":[${items}]}}}`
}

/** A list out of pieces that begin with commas. */
export function list(pieces: string): string {
  return `[${pieces.slice(1)}]`
}

/** A double as Protobuf's JSON has it. */
export function number(value: number): string {
  return Number.isFinite(value) ? String(value) : `"${Number.isNaN(value) ? 'NaN' : value}"`
}

/** Nanoseconds since the epoch: too many digits for a double. */
export function nanos(time: Millis): string {
  const whole = Math.floor(time)
  const rest = Math.round((time - whole) * 1e6)
  return rest >= 1e6 ? `${whole + 1}000000` : `${whole}${String(rest).padStart(6, '0')}`
}

/** Words of config messages: what kinds of values are called, names in quotes, hints. */
import { nearestName } from './errors.ts'
import type { ValueKind } from './walk.ts'

export const KIND_WORDS: Readonly<Record<ValueKind, string>> = {
  null: 'null',
  boolean: 'true or false',
  number: 'a number',
  string: 'a text',
  array: 'a list',
  object: 'an object',
}

/** Longest message that is passed on. */
const MAX_MESSAGE = 400

/** `did you mean "x"?`, when a known name is near. */
export function suggestion(name: string, known: Iterable<string>): string | undefined {
  if (name.length > 64) return undefined
  const near = nearestName(name, known)
  return near === undefined ? undefined : `did you mean ${quote(near)}?`
}

/** A name in quotes, shortened when it is long. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name)
}

/** Names as a list for people, at most thirty. */
export function listed(names: readonly unknown[]): string {
  const shown = names.slice(0, 30).map(String)
  return shown.join(', ') + (names.length > shown.length ? ', …' : '')
}

/** A message of a schema, cut when it is long. */
export function shorten(message: string): string {
  return message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message
}

const UNIT_NAMES: Readonly<Record<string, string>> = {
  msec: 'ms',
  millis: 'ms',
  milliseconds: 'ms',
  sec: 's',
  secs: 's',
  second: 's',
  seconds: 's',
  min: 'm',
  mins: 'm',
  minute: 'm',
  minutes: 'm',
  hr: 'h',
  hrs: 'h',
  hour: 'h',
  hours: 'h',
  day: 'd',
  days: 'd',
  b: 'B',
  bytes: 'B',
  k: 'KiB',
  kb: 'KB',
  kib: 'KiB',
  m: 'MiB',
  mb: 'MB',
  mib: 'MiB',
  g: 'GiB',
  gb: 'GB',
  gib: 'GiB',
}

/** For a duration or a size without its unit, or with a unit in other words. */
export function unitHint(message: string, input: unknown): string | undefined {
  const isDuration = message.startsWith('a duration')
  if (!isDuration && !message.startsWith('a size')) return undefined
  if (typeof input === 'number') {
    return isDuration
      ? 'durations carry a unit: "500ms", "30s", "5m"'
      : 'sizes carry a unit: "64KiB", "10MB"'
  }
  const parts = /^(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]{1,12})$/i.exec(String(input))
  if (parts === null) return undefined
  const written = (parts[2] as string).toLowerCase()
  const isTime = 'ms'.includes(written) || 'hd'.includes(written)
  const unit = isDuration && isTime ? written : UNIT_NAMES[written]
  const isSizeUnit = unit?.endsWith('B') === true
  if (unit === undefined || isSizeUnit === isDuration) return undefined
  return `did you mean "${parts[1]}${unit}"?`
}

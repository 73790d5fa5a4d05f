/** Name and value pairs as requests carry them: query strings, forms, cookies. Nothing is refused. */
import { hexDigit } from './bytes.ts'

/** Names and values in order, and by name. */
export class Pairs {
  /** Name, value, name, value. */
  readonly flat: readonly string[]
  #map: ReadonlyMap<string, readonly string[]> | undefined
  #names: readonly string[] | undefined
  #values: readonly string[] | undefined

  constructor(flat: readonly string[]) {
    this.flat = flat
  }

  get map(): ReadonlyMap<string, readonly string[]> {
    this.#map ??= group(this.flat)
    return this.#map
  }

  get names(): readonly string[] {
    this.#names ??= this.flat.filter((_, i) => i % 2 === 0)
    return this.#names
  }

  get values(): readonly string[] {
    this.#values ??= this.flat.filter((_, i) => i % 2 === 1)
    return this.#values
  }
}

export const NO_PAIRS = new Pairs([])

function group(flat: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const map = new Map<string, string[]>()
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] as string
    const values = map.get(name)
    if (values === undefined) map.set(name, [flat[i + 1] as string])
    else values.push(flat[i + 1] as string)
  }
  return map
}

/** `a=1&b&=2`: pieces between `&`, empty ones left out; names and values are not decoded. */
export function parseQuery(query: string): Pairs {
  return new Pairs(splitPairs(query))
}

/** Flat name, value list of an urlencoded text. */
export function splitPairs(text: string): string[] {
  const flat: string[] = []
  let start = 0
  while (start < text.length) {
    let end = text.indexOf('&', start)
    if (end < 0) end = text.length
    if (end > start) {
      const equals = text.indexOf('=', start)
      if (equals < 0 || equals >= end) flat.push(text.slice(start, end), '')
      else flat.push(text.slice(start, equals), text.slice(equals + 1, end))
    }
    start = end + 1
  }
  return flat
}

/** `a=1; b=2` of every Cookie field; names are percent-decoded, values are not. */
export function parseCookies(fields: readonly string[]): Pairs {
  const flat: string[] = []
  for (const field of fields) {
    for (const piece of field.split(';')) {
      const pair = piece.trim()
      if (pair === '') continue
      const equals = pair.indexOf('=')
      const name = equals < 0 ? pair : pair.slice(0, equals).trimEnd()
      flat.push(percentDecode(name), equals < 0 ? '' : pair.slice(equals + 1).trimStart())
    }
  }
  return new Pairs(flat)
}

/** Decodes %HH; anything else stays, broken escapes too. */
export function percentDecode(text: string): string {
  let percent = text.indexOf('%')
  if (percent < 0) return text
  let out = ''
  let from = 0
  while (percent >= 0) {
    const high = hexDigit(text.charCodeAt(percent + 1))
    const low = hexDigit(text.charCodeAt(percent + 2))
    if (high >= 0 && low >= 0) {
      out += text.slice(from, percent) + String.fromCharCode(high * 16 + low)
      from = percent + 3
      percent = text.indexOf('%', from)
    } else {
      percent = text.indexOf('%', percent + 1)
    }
  }
  return out + text.slice(from)
}

/** Range and Content-Range of bytes (RFC 9110 §14). */

/** Inclusive positions. */
export interface Span {
  readonly first: number
  readonly last: number
}
/** A range as asked for: `first` is -1 for a suffix (then `last` is its length), `last` -1 when open. */
interface AskedRange {
  readonly first: number
  readonly last: number
}
export interface ContentRange extends Span {
  /** Complete length, -1 when unknown. */
  readonly total: number
}

function integer(text: string): number {
  if (text.length === 0 || text.length > 15) return -1
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 48 || code > 57) return -1
  }
  return Number(text)
}

function parseAsked(value: string, most: number): AskedRange[] | undefined {
  const equals = value.indexOf('=')
  if (equals < 0 || value.slice(0, equals).trim().toLowerCase() !== 'bytes') return undefined
  const asked: AskedRange[] = []
  for (const part of value.slice(equals + 1).split(',')) {
    const text = part.trim()
    if (text === '') continue
    if (asked.length === most) return undefined
    const dash = text.indexOf('-')
    if (dash < 0) return undefined
    const last = text.slice(dash + 1)
    if (dash === 0) {
      const length = integer(last)
      if (length < 0) return undefined
      asked.push({ first: -1, last: length })
      continue
    }
    const first = integer(text.slice(0, dash))
    const end = last === '' ? -1 : integer(last)
    if (first < 0 || (last !== '' && end < first)) return undefined
    asked.push({ first, last: end })
  }
  return asked.length === 0 ? undefined : asked
}

/** A field that asks for one range from a position on; `last` is -1 without an end. */
export function singleRange(value: string): Span | undefined {
  const asked = parseAsked(value, 1)?.[0]
  return asked === undefined || asked.first < 0 ? undefined : asked
}

export type RangePlan =
  | { readonly kind: 'spans'; readonly spans: readonly Span[] }
  /** Nothing of it lies inside the representation: 416. */
  | { readonly kind: 'unsatisfiable' }
  /** Not a range set we serve (another unit, bad syntax, too many, overlapping): answer the whole. */
  | { readonly kind: 'ignore' }

/**
 * What a Range field asks of a representation of `total` bytes.
 * @param most ranges served; more, or overlapping ones, are an amplification attack (RFC 9110 §17.15)
 */
export function planRange(value: string, total: number, most: number): RangePlan {
  const asked = parseAsked(value, most)
  if (asked === undefined) return { kind: 'ignore' }
  const spans: Span[] = []
  for (const range of asked) {
    if (range.first < 0) {
      if (range.last === 0 || total === 0) continue
      spans.push({ first: Math.max(0, total - range.last), last: total - 1 })
    } else if (range.first < total) {
      const last = range.last < 0 ? total - 1 : Math.min(range.last, total - 1)
      spans.push({ first: range.first, last })
    }
  }
  if (spans.length === 0) return { kind: 'unsatisfiable' }
  if (spans.length > 1) {
    const sorted = [...spans].sort((a, b) => a.first - b.first)
    for (let i = 1; i < sorted.length; i++) {
      if ((sorted[i] as Span).first <= (sorted[i - 1] as Span).last) return { kind: 'ignore' }
    }
  }
  return { kind: 'spans', spans }
}

/** @returns undefined when it is not a byte range, or inconsistent in itself */
export function parseContentRange(value: string | undefined): ContentRange | undefined {
  const match =
    value === undefined ? null : /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(value)
  if (match === null) return undefined
  const first = Number(match[1])
  const last = Number(match[2])
  const total = match[3] === '*' ? -1 : Number(match[3])
  return first > last || (total >= 0 && last >= total) ? undefined : { first, last, total }
}

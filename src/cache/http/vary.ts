/**
 * Vary (RFC 9110 §12.5.5) and the normal form of the request fields that it selects by (RFC 9111 §4.1):
 * lines joined, white space around commas gone, codings and languages without their order and case.
 */
import type { HeaderList } from '../../exchange.ts'

/** Codings a gateway may serve, in its order of preference. */
const CODINGS = ['zstd', 'br', 'gzip', 'deflate'] as const

/** Lower-case, sorted names; `undefined` for `*`, which nothing matches. */
export function parseVary(value: string | undefined): readonly string[] | undefined {
  if (value === undefined) return NONE
  const names: string[] = []
  for (const part of value.split(',')) {
    const name = part.trim().toLowerCase()
    if (name === '*') return undefined
    if (name !== '' && !names.includes(name)) names.push(name)
  }
  return names.length === 0 ? NONE : names.sort()
}

const NONE: readonly string[] = Object.freeze([])

export interface VaryOptions {
  readonly normalizeEncoding: boolean
  readonly normalizeLanguage: boolean
}

/**
 * One string for the values of the selecting fields: two requests match when theirs are equal. An absent
 * field differs from an empty one.
 */
export function selectingSignature(
  headers: HeaderList,
  names: readonly string[],
  options: VaryOptions,
): string {
  let signature = ''
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    const value = headers.joined(name)
    signature += value === undefined ? '\n-' : `\n=${normalValue(name, value, options)}`
  }
  return signature
}

function normalValue(name: string, value: string, options: VaryOptions): string {
  if (name === 'accept-encoding' && options.normalizeEncoding) return encodings.of(value)
  if (name === 'accept-language' && options.normalizeLanguage) return languages.of(value)
  return squeezed(value)
}

/** Browsers send a handful of values over and over: each is put in normal form once. */
class NormalForms {
  readonly #known = new Map<string, string>()
  readonly #normalize: (value: string) => string
  constructor(normalize: (value: string) => string) {
    this.#normalize = normalize
  }

  of(value: string): string {
    const known = this.#known.get(value)
    if (known !== undefined) return known
    const normal = this.#normalize(value)
    // Bounded in number and in length: what clients make up does not stay.
    if (value.length <= 256) {
      if (this.#known.size >= 512) this.#known.clear()
      this.#known.set(value, normal)
    }
    return normal
  }
}

/** White space at the ends and around commas taken away, outside quotes. */
function squeezed(value: string): string {
  if (!/[ \t]/.test(value)) return value
  if (value.includes('"')) return value.trim()
  return value.trim().replace(/[ \t]*,[ \t]*/g, ',')
}

const encodings = new NormalForms((value) => normalEncoding(value))
const languages = new NormalForms((value) => normalLanguage(value))

export interface Weighted {
  readonly value: string
  readonly weight: number
}

/** A list with q values (RFC 9110 §12.4.2), lower case. An unreadable q counts as 0. */
export function weighted(value: string): Weighted[] {
  const found: Weighted[] = []
  for (const part of value.split(',')) {
    const semicolon = part.indexOf(';')
    const name = (semicolon < 0 ? part : part.slice(0, semicolon)).trim().toLowerCase()
    if (name === '') continue
    let weight = 1
    if (semicolon >= 0) {
      const q = /;\s*q\s*=\s*([^;\s]*)/i.exec(part)
      if (q !== null) {
        const number = Number(q[1])
        weight = number >= 0 && number <= 1 ? number : 0
      }
    }
    found.push({ value: name, weight })
  }
  return found
}

/** The codings that a client takes, in our order: what is sent to the origin and compared. */
export function normalEncoding(value: string): string {
  const accepted = weighted(value)
  const any = accepted.find((coding) => coding.value === '*')
  let normal = ''
  for (const coding of CODINGS) {
    const named = accepted.find((item) => item.value === coding || item.value === `x-${coding}`)
    if ((named ?? any)?.weight) normal += normal === '' ? coding : `, ${coding}`
  }
  const identity = accepted.find((item) => item.value === 'identity')
  const refused = identity === undefined ? any?.weight === 0 : identity.weight === 0
  if (refused) normal += normal === '' ? 'identity;q=0' : ', identity;q=0'
  return normal
}

/** Languages by weight, equal weights in alphabetical order. */
export function normalLanguage(value: string): string {
  const wanted = weighted(value).filter((language) => language.weight > 0)
  wanted.sort((a, b) => b.weight - a.weight || (a.value < b.value ? -1 : 1))
  let normal = ''
  for (const { value: language, weight } of wanted) normal += `${language};${weight},`
  return normal
}

/**
 * Whether a stored response in `contentLanguage` is the client's first choice, so that it may be used
 * although the Accept-Language fields differ: its language has the highest weight, alone or shared.
 */
export function prefersLanguage(acceptLanguage: string, contentLanguage: string): boolean {
  const language = contentLanguage.trim().toLowerCase()
  if (language === '' || language.includes(',')) return false
  let best = 0
  let own = 0
  for (const wanted of weighted(acceptLanguage)) {
    if (wanted.weight > best) best = wanted.weight
    if (wanted.value === language && wanted.weight > own) own = wanted.weight
  }
  return (
    own > 0 &&
    own === best &&
    weighted(acceptLanguage).filter((w) => w.weight === best).length === 1
  )
}

/**
 * What expressions are about: one exchange and, when the caller has them, its body, response and scores.
 * What must be parsed (query, cookies, maps of headers) is parsed once, when first asked for, and shared by
 * all expressions.
 */
import type { Exchange, HeaderList, Millis } from '../exchange.ts'
import { toBytes } from './bytes.ts'
import { NO_PAIRS, Pairs, parseCookies, parseQuery } from './pairs.ts'
import type { Value } from './types.ts'

/** The request body as far as it was read. Getters may parse when first asked; answers must be stable. */
export interface BodyView {
  /** The inspected bytes, as a byte string. */
  readonly raw: string
  /** Bytes of the whole body; those read when the sender did not say. */
  readonly size: number
  /** Whether the body goes on after `raw`. */
  readonly truncated: boolean
  /** Media type detected from the bytes; empty when unknown. */
  readonly mime: string
  /** application/x-www-form-urlencoded: name, value, name, value; not decoded. */
  readonly form: readonly string[]
  readonly multipart: readonly PartView[]
}

/** One part of a multipart body. Headers as byte strings; `undefined` when the part has none. */
export interface PartView {
  readonly name: string | undefined
  readonly filename: string | undefined
  readonly value: string
  readonly contentType: string | undefined
  readonly contentDisposition: string | undefined
  readonly contentTransferEncoding: string | undefined
}

export interface ResponseView {
  readonly status: number
  readonly headers: HeaderList
}

/** Attack scores, 1 (attack) to 99 (clean); 100 means not scored. */
export interface ScoresView {
  readonly total: number
  /** Score of one class of attack: `sqli`, `xss`, `rce` and those of the rule set; 100 when not scored. */
  of(attack: string): number
  readonly classes: readonly string[]
}

function lowerNames(headers: HeaderList): Pairs {
  const names = headers.names()
  return new Pairs(headers.flat.map((text, i) => (i % 2 === 0 ? (names[i >> 1] as string) : text)))
}

export class Subject {
  readonly exchange: Exchange
  body: BodyView | undefined
  response: ResponseView | undefined
  scores: ScoresView | undefined
  /** What the platform knows and an `Exchange` does not carry (city, bot score...), by field name. */
  platform: ReadonlyMap<string, Value> | undefined
  /** The time that `http.request.timestamp.*` gives; the exchange's start when not set. */
  now: Millis | undefined

  private query: Pairs | undefined
  private rawQuery: Pairs | undefined
  private cookiePairs: Pairs | undefined
  private wirePairs: Pairs | undefined
  private headerPairs: Pairs | undefined
  private responseHeaderPairs: Pairs | undefined
  private responseHeaderSource: HeaderList | undefined
  private formPairs: Pairs | undefined
  private formSource: BodyView | undefined
  private claims: ReadonlyMap<string, readonly string[]> | undefined
  private claimSource: object | undefined

  constructor(exchange: Exchange) {
    this.exchange = exchange
  }

  queryArgs(): Pairs {
    this.query ??= parseQuery(this.exchange.target.query)
    return this.query
  }

  rawQueryArgs(): Pairs {
    this.rawQuery ??= parseQuery(this.rawQueryText())
    return this.rawQuery
  }

  /** The query as it came on the request line. */
  rawQueryText(): string {
    const { raw } = this.exchange.target
    const mark = raw.indexOf('?')
    return mark < 0 ? '' : raw.slice(mark + 1)
  }

  cookies(): Pairs {
    this.cookiePairs ??= parseCookies(this.exchange.headers.all('cookie'))
    return this.cookiePairs
  }

  /** Request headers as they came. */
  wireHeaders(): Pairs {
    this.wirePairs ??= new Pairs(this.exchange.headers.flat)
    return this.wirePairs
  }

  /** Request headers by lower-case name. */
  headers(): Pairs {
    this.headerPairs ??= lowerNames(this.exchange.headers)
    return this.headerPairs
  }

  /** Response headers by lower-case name. */
  responseHeaders(): Pairs {
    const source = this.response?.headers
    if (source === undefined) return NO_PAIRS
    if (this.responseHeaderPairs === undefined || this.responseHeaderSource !== source) {
      this.responseHeaderSource = source
      this.responseHeaderPairs = lowerNames(source)
    }
    return this.responseHeaderPairs
  }

  form(): Pairs {
    const body = this.body
    if (body === undefined) return NO_PAIRS
    if (this.formPairs === undefined || this.formSource !== body) {
      this.formSource = body
      this.formPairs = new Pairs(body.form)
    }
    return this.formPairs
  }

  /**
   * Claims of the principal, each as an array of byte strings: texts as they are, numbers and booleans as
   * text, objects as JSON (for `lookup_json_string`). Empty without a principal.
   */
  authClaims(): ReadonlyMap<string, readonly string[]> {
    const source = this.exchange.principal?.claims
    if (source === undefined) return NO_PAIRS.map
    if (this.claims === undefined || this.claimSource !== source) {
      const map = new Map<string, readonly string[]>()
      for (const name of Object.keys(source)) {
        const value = source[name]
        const items = Array.isArray(value) ? value : [value]
        map.set(
          toBytes(name),
          items.filter((item) => item !== undefined && item !== null).map(claimText),
        )
      }
      this.claimSource = source
      this.claims = map
    }
    return this.claims
  }
}

function claimText(value: unknown): string {
  return toBytes(typeof value === 'string' ? value : JSON.stringify(value))
}

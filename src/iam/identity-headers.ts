/**
 * Who the caller is, for origins, in request fields. Whatever a client sends under these names is dropped on
 * every route, also where nobody has to identify: an origin must be able to believe them.
 */
import type { IamConfig } from '../config/sections/iam.ts'
import type { HeaderList, Principal } from '../exchange.ts'
import { claimAt } from './claims.ts'
import { encodeBase64Url, utf8 } from './encoding.ts'
import type { Json, JsonObject } from './strict-json.ts'

/** What a field can carry as it is: printable ASCII, without a space at either end (RFC 9110 §5.5). */
const PLAIN = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

export class IdentityHeaders {
  readonly #prefix: string
  readonly #claims: readonly (readonly [name: string, path: string])[]
  readonly #names: ReadonlySet<string>

  constructor(config: IamConfig['headers']) {
    this.#prefix = config.prefix
    this.#claims = Object.entries(config.claims)
    this.#names = new Set(this.#claims.flatMap(([name]) => [name, `${name}-b64`]))
  }

  /** Whether a field is ours alone. `_` counts as `-`: CGI and its heirs cannot tell them apart. */
  isOurs(lowerName: string): boolean {
    const name = lowerName.includes('_') ? lowerName.replaceAll('_', '-') : lowerName
    return name.startsWith(this.#prefix) || this.#names.has(name)
  }

  /**
   * Fields for the origin: the client's without ours, then ours for this principal.
   * @param dropped more lower-case names to leave out, such as `authorization`
   */
  apply(
    headers: HeaderList,
    principal: Principal | undefined,
    dropped: readonly string[],
  ): string[] {
    const names = headers.names()
    const out: string[] = []
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string
      if (this.isOurs(name) || dropped.includes(name)) continue
      out.push(headers.flat[2 * i] as string, headers.flat[2 * i + 1] as string)
    }
    if (principal !== undefined && principal.kind !== 'anonymous') this.#inject(out, principal)
    return out
  }

  #inject(out: string[], principal: Principal): void {
    const prefix = this.#prefix
    add(out, `${prefix}method`, principal.kind)
    add(out, `${prefix}subject`, principal.subject)
    add(out, `${prefix}issuer`, principal.issuer ?? undefined)
    add(out, `${prefix}client`, principal.clientId)
    add(out, `${prefix}tenant`, principal.tenant)
    add(out, `${prefix}scopes`, [...principal.scopes])
    add(out, `${prefix}roles`, [...(principal.roles ?? [])])
    for (const [name, path] of this.#claims) {
      // Claims come from our strict parser or our own config: JSON both.
      add(out, name, claimAt(principal.claims as JsonObject, path))
    }
  }
}

function add(out: string[], name: string, value: Json | undefined): void {
  let text: string
  if (typeof value === 'string') text = value
  else if (typeof value === 'number' || typeof value === 'boolean') text = String(value)
  else if (Array.isArray(value)) text = value.map(item).join(',')
  else return
  if (text === '') return
  if (PLAIN.test(text)) out.push(name, text)
  else out.push(`${name}-b64`, encodeBase64Url(utf8(text)))
}

/** An item of a list: a comma in it would make two. */
function item(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.replaceAll('%', '%25').replaceAll(',', '%2C')
}

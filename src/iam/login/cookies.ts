/**
 * The cookies of a login. They are the gateway's own: taken out of every request before anything reads it, so
 * that rules, cache keys, logs and origins never see one. A session that is too long for one cookie is cut.
 */
import { HeaderList, type LoginCookies, type Seconds } from '../../exchange.ts'

const SESSION = 'meridian-session'
const PENDING = 'meridian-login-'
const HOST_PREFIX = '__Host-'

/** Browsers keep 4096 bytes of name, value and attributes (RFC 6265 §6.1). */
const PIECE = 3800
/** Servers take 8 to 16 KiB of header fields. */
const MAX_PIECES = 3

/** How many pieces there are, a colon, the first piece. */
const FIRST = /^([1-3]):(.*)$/

export class LoginCookieNames {
  readonly #isSecure: boolean
  readonly session: string
  readonly #pending: string

  /** @param isSecure whether the public origin is https: the prefix then binds cookies to host and TLS */
  constructor(isSecure: boolean) {
    this.#isSecure = isSecure
    const prefix = isSecure ? HOST_PREFIX : ''
    this.session = prefix + SESSION
    this.#pending = prefix + PENDING
  }

  /** Name of the cookie of one login that was begun. */
  pending(tag: string): string {
    return this.#pending + tag
  }

  /** @returns undefined when the request carries no such cookie */
  take(headers: HeaderList): { headers: HeaderList; login: LoginCookies } | undefined {
    const names = headers.names()
    const { flat } = headers
    let first = names.indexOf('cookie')
    while (first >= 0 && !isOurs(flat[first * 2 + 1] as string)) {
      first = names.indexOf('cookie', first + 1)
    }
    if (first < 0) return undefined
    const kept = flat.slice(0, first * 2)
    const pieces = new Map<string, string>()
    const pending = new Map<string, string>()
    for (let i = first; i < names.length; i++) {
      const value = flat[i * 2 + 1] as string
      if (names[i] !== 'cookie') {
        kept.push(flat[i * 2] as string, value)
        continue
      }
      const others: string[] = []
      for (const pair of value.split(';')) {
        const equals = pair.indexOf('=')
        const name = equals < 0 ? '' : pair.slice(0, equals).trim()
        const bare = name.startsWith(HOST_PREFIX) ? name.slice(HOST_PREFIX.length) : name
        if (!bare.startsWith(SESSION) && !bare.startsWith(PENDING)) {
          if (pair.trim() !== '') others.push(pair.trim())
          continue
        }
        // One without the prefix could have been planted by another host of the domain.
        const target = name.startsWith(this.#pending)
          ? pending
          : name.startsWith(this.session)
            ? pieces
            : undefined
        if (target !== undefined && !target.has(name))
          target.set(name, pair.slice(equals + 1).trim())
      }
      if (others.length > 0) kept.push(flat[i * 2] as string, others.join('; '))
    }
    return {
      headers: new HeaderList(kept),
      login: { session: this.#join(pieces), sessionNames: [...pieces.keys()], pending },
    }
  }

  #join(pieces: ReadonlyMap<string, string>): string | undefined {
    const first = FIRST.exec(pieces.get(this.session) ?? '')
    if (first === null) return undefined
    let text = first[2] as string
    for (let i = 1; i < Number(first[1]); i++) {
      const piece = pieces.get(`${this.session}.${i}`)
      if (piece === undefined) return undefined
      text += piece
    }
    return text
  }

  /** Set-Cookie values that store a session. Undefined when it is too long. */
  store(text: string, lifetime: Seconds, came: readonly string[]): string[] | undefined {
    const count = Math.ceil(text.length / PIECE)
    if (count > MAX_PIECES) return undefined
    const fields: string[] = []
    const written = new Set<string>()
    for (let i = 0; i < count; i++) {
      const name = i === 0 ? this.session : `${this.session}.${i}`
      const piece = text.slice(i * PIECE, (i + 1) * PIECE)
      written.add(name)
      fields.push(this.set(name, i === 0 ? `${count}:${piece}` : piece, lifetime))
    }
    for (const name of came) if (!written.has(name)) fields.push(this.clear(name))
    return fields
  }

  set(name: string, value: string, lifetime: Seconds): string {
    const rest = `${name}=${value}; Path=/; Max-Age=${lifetime}; HttpOnly; SameSite=Lax`
    return this.#isSecure ? `${rest}; Secure` : rest
  }

  clear(name: string): string {
    return this.set(name, '', 0)
  }
}

function isOurs(field: string): boolean {
  return field.includes(SESSION) || field.includes(PENDING)
}

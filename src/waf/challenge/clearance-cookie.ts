/**
 * The clearance's cookie. It is the gateway's own: taken out of a request before anything reads it, so that
 * rules, cache keys, logs and origins never see one.
 */
import { HeaderList, type Seconds } from '../../exchange.ts'

const PLAIN = 'meridian-clearance'
/** The prefix binds a cookie to its host and to TLS (RFC 6265bis §4.1.3.2). */
const SECURE = `__Host-${PLAIN}`

export interface TakenCookie {
  readonly headers: HeaderList
  /** Undefined when there was none that counts for the scheme. */
  readonly clearance: string | undefined
}

/** @returns undefined when the request carries no such cookie, which is nearly always */
export function takeClearance(
  headers: HeaderList,
  scheme: 'http' | 'https',
): TakenCookie | undefined {
  const names = headers.names()
  const { flat } = headers
  let first = names.indexOf('cookie')
  while (first >= 0 && !(flat[first * 2 + 1] as string).includes(PLAIN)) {
    first = names.indexOf('cookie', first + 1)
  }
  if (first < 0) return undefined
  const wanted = scheme === 'https' ? SECURE : PLAIN
  const kept = flat.slice(0, first * 2)
  let clearance: string | undefined
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
      if (name !== PLAIN && name !== SECURE) others.push(pair.trim())
      else if (name === wanted) clearance ??= pair.slice(equals + 1).trim()
    }
    if (others.length > 0) kept.push(flat[i * 2] as string, others.join('; '))
  }
  return { headers: new HeaderList(kept), clearance }
}

export function clearanceField(value: string, lifetime: Seconds, scheme: 'http' | 'https'): string {
  const rest = `=${value}; Path=/; Max-Age=${lifetime}; HttpOnly; SameSite=Lax`
  return scheme === 'https' ? `${SECURE}${rest}; Secure` : PLAIN + rest
}

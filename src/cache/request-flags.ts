/** What a request asks of a cache, found in one pass over its field names. */
import type { HeaderList } from '../exchange.ts'

export const RANGE = 1
export const IF_NONE_MATCH = 2
export const IF_MODIFIED_SINCE = 4
export const IF_RANGE = 8
/** If-Match or If-Unmodified-Since: for the origin alone (RFC 9111 §4.3.2). */
export const PRECONDITION = 16
export const AUTHORIZATION = 32
/** Cache-Control or Pragma. */
export const DIRECTIVES = 64
export const COOKIE = 128
export const CONDITION = IF_NONE_MATCH | IF_MODIFIED_SINCE

export function requestFlags(headers: HeaderList): number {
  const names = headers.names()
  let flags = 0
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    switch (name.length) {
      case 5:
        if (name === 'range') flags |= RANGE
        break
      case 6:
        if (name === 'cookie') flags |= COOKIE
        else if (name === 'pragma') flags |= DIRECTIVES
        break
      case 8:
        if (name === 'if-range') flags |= IF_RANGE
        else if (name === 'if-match') flags |= PRECONDITION
        break
      case 13:
        if (name === 'if-none-match') flags |= IF_NONE_MATCH
        else if (name === 'cache-control') flags |= DIRECTIVES
        else if (name === 'authorization') flags |= AUTHORIZATION
        break
      case 17:
        if (name === 'if-modified-since') flags |= IF_MODIFIED_SINCE
        break
      case 19:
        if (name === 'if-unmodified-since') flags |= PRECONDITION
        break
      default:
    }
  }
  return flags
}

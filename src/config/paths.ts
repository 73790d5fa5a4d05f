/**
 * Files and origins as a config names them. A file is named by its path, never pasted in: keys and
 * certificates in a config end up in version control, in dumps and in error messages.
 */
import * as v from 'valibot'

/** A path to a file, absolute or relative to the config file. */
export const filePath = v.pipe(
  v.string('a path to a file is expected'),
  v.minLength(1, 'a path to a file is expected'),
  v.maxLength(4096, 'a path to a file is expected, not the file itself'),
  v.check(
    (text) => !text.includes('-----BEGIN') && !/[\0\r\n]/.test(text),
    'a path to a file is expected, not the file itself',
  ),
  v.description('Path to a file, relative to the config file.'),
)

/** Where an origin listens, taken apart. */
export interface OriginUrl {
  readonly scheme: 'http' | 'https'
  /** Lower case; an IPv6 address without brackets. */
  readonly hostname: string
  readonly port: number
  /** Set for `unix:/path`; host and port are then only for people. */
  readonly socketPath?: string
}

/**
 * Takes `http://host[:port]`, `https://host[:port]` or `unix:/path/to.sock` apart. A path, a query or
 * credentials are refused: the request's own path is what the origin gets.
 */
export function parseOriginUrl(text: string): OriginUrl | undefined {
  if (text.startsWith('unix:')) {
    const socketPath = text.slice(5)
    if (!/^\/[^\0\r\n]{1,106}$/.test(socketPath)) return undefined
    return { scheme: 'http', hostname: 'localhost', port: 0, socketPath }
  }
  if (!/^https?:\/\/[A-Za-z0-9._[\]:-]+\/?$/.test(text)) return undefined
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return undefined
  }
  const scheme = url.protocol === 'https:' ? 'https' : 'http'
  const port = url.port === '' ? (scheme === 'https' ? 443 : 80) : Number(url.port)
  if (url.hostname === '' || port === 0) return undefined
  return { scheme, hostname: url.hostname.replace(/^\[|\]$/g, ''), port }
}

export const originUrl = v.pipe(
  v.string('an origin URL is expected, such as "http://10.0.0.5:8080"'),
  v.check(
    (text) => parseOriginUrl(text) !== undefined,
    'an origin URL is expected: "http://host:port", "https://host" or "unix:/path/to.sock", without a path, query or credentials',
  ),
  v.metadata({ pattern: '^(https?://[A-Za-z0-9._\\[\\]:-]+/?|unix:/.+)$' }),
  v.description(
    '`http://host:port`, `https://host:port` or `unix:/path/to.sock`; `http://_service._tcp.host` asks for service records.',
  ),
)

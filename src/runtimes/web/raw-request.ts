/** From a Web `Request` to what the gateway's front wants: the target as it came, fields as a flat list. */
import type { RawRequest } from '../../http/front.ts'

/**
 * The runtime has parsed the URL already: dots are resolved, and a backslash is a slash (see
 * docs/runtimes.md). Nothing of it is parsed again.
 */
export function rawRequest(request: Request): RawRequest {
  const { url } = request
  const isSecure = url.startsWith('https:')
  const hostAt = isSecure ? 8 : 7
  let pathAt = url.length
  for (let i = hostAt; i < url.length; i++) {
    const code = url.charCodeAt(i)
    if (code === 47 || code === 63 || code === 35) {
      pathAt = i
      break
    }
  }
  const hash = url.indexOf('#', pathAt)
  const target = url.slice(pathAt, hash < 0 ? url.length : hash)
  const user = url.lastIndexOf('@', pathAt)
  const authority = url.slice(user < hostAt ? hostAt : user + 1, pathAt)
  const headers = ['host', authority]
  let isMisdirected = false
  request.headers.forEach((value, name) => {
    if (name === 'host') isMisdirected ||= !isSameAuthority(value, authority, isSecure)
    else headers.push(name, value)
  })
  return {
    method: request.method,
    target: target.startsWith('/') ? target : `/${target}`,
    version: '1.1',
    headers,
    secure: isSecure,
    malformed: isMisdirected ? 'bad-host' : undefined,
  }
}

/** URLs leave the default port out, and are in lower case. */
function isSameAuthority(host: string, authority: string, isSecure: boolean): boolean {
  const lower = host.toLowerCase()
  return lower === authority || lower === `${authority}:${isSecure ? 443 : 80}`
}

/** The request as the cache sends it on: validators and ranges of its own, nothing that is not in the key. */

import type { ForwardOptions, Pending } from './core.ts'
import type { Abortable } from './fill/fill-table.ts'
import { isStrongTag } from './http/entity-tag.ts'
import { withoutFields } from './http/fields.ts'
import { normalEncoding } from './http/vary.ts'
import type { StoredResponse } from './policy/stored-response.ts'

/** Most tags offered in one If-None-Match. */
const MAX_TAGS = 16

export interface ForwardShape {
  /** Responses offered for validation; the first is the one that matches the request. */
  readonly validate: readonly StoredResponse[]
  /** Keep the client's own conditions and range. */
  readonly asIs: boolean
  /** Ask for this range, to complete `validate[0]`. */
  readonly range: string | undefined
  readonly control: Abortable
  readonly isDetached: boolean
  readonly mayShield?: boolean
}

export function forwardOptions(p: Pending, shape: ForwardShape): ForwardOptions {
  const { request, policy } = p
  const { stripUnkeyed } = policy
  const isFetch = request.method === 'GET' || request.method === 'HEAD'
  const drop = (name: string): boolean => {
    if ((isFetch || request.method === 'QUERY') && stripUnkeyed.has(name)) return true
    if (shape.asIs) return false
    return (
      name === 'if-none-match' ||
      name === 'if-modified-since' ||
      name === 'range' ||
      name === 'if-range'
    )
  }
  let headers = withoutFields(request.headers, drop)
  if (policy.vary.normalizeEncoding) headers = withNormalEncoding(headers)
  const added = validators(shape)
  if (added.length > 0) headers = headers.concat(added)
  return {
    method: request.method,
    authority: policy.key.hostAlias.get(request.authority) ?? request.authority,
    pathAndQuery: p.key.pathAndQuery,
    headers,
    withBody: !isFetch,
    control: shape.control,
    mayShield: shape.mayShield === true,
    isDetached: shape.isDetached,
  }
}

function validators(shape: ForwardShape): string[] {
  const added: string[] = []
  if (shape.range !== undefined) {
    const etag = shape.validate[0]?.etag
    added.push('Range', shape.range)
    if (isStrongTag(etag)) added.push('If-Range', etag)
    return added
  }
  let tags = ''
  let count = 0
  for (const { etag } of shape.validate) {
    if (etag === undefined || count === MAX_TAGS) continue
    tags += count === 0 ? etag : `, ${etag}`
    count++
  }
  if (tags !== '') added.push('If-None-Match', tags)
  const lastModified = shape.validate[0]?.lastModified
  if (lastModified !== undefined) added.push('If-Modified-Since', lastModified)
  return added
}

/** What is compared is what is sent: an odd Accept-Encoding cannot choose a variant for others. */
function withNormalEncoding(headers: readonly string[]): readonly string[] {
  let joined: string | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length === 15 && name.toLowerCase() === 'accept-encoding') {
      joined = joined === undefined ? (headers[i + 1] as string) : `${joined}, ${headers[i + 1]}`
    }
  }
  if (joined === undefined) return headers
  const normal = normalEncoding(joined)
  if (normal === joined) return headers
  const changed: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).toLowerCase() === 'accept-encoding') continue
    changed.push(headers[i] as string, headers[i + 1] as string)
  }
  changed.push('Accept-Encoding', normal === '' ? 'identity' : normal)
  return changed
}

/** From an origin's response to a stored one: what is kept, under which names, with which decision. */
import { HeaderList, type Millis, type Reply } from '../exchange.ts'
import type { CacheCore, Pending } from './core.ts'
import { formatHttpDate } from './http/date.ts'
import { storableFields, updatedFields, withoutFields } from './http/fields.ts'
import { parseContentRange } from './http/range.ts'
import { parseStringList } from './http/structured.ts'
import { selectingSignature } from './http/vary.ts'
import { type ResponseFacts, readFacts, type Timing } from './policy/facts.ts'
import { type StoreDecision, storeDecision } from './policy/store-decision.ts'
import { StoredResponse } from './policy/stored-response.ts'
import { epochNames } from './purge/epochs.ts'
import { COOKIE } from './request-flags.ts'

export interface Received {
  readonly facts: ResponseFacts
  readonly decision: StoreDecision
  readonly timing: Timing
}

/** Body length when it is known; null for a stream without one. */
export function bodyLength(reply: Reply): number | null {
  const { body } = reply
  return body === null ? 0 : 'byteLength' in body ? body.byteLength : body.length
}

export function receive(core: CacheCore, p: Pending, reply: Reply, startedAt: Millis): Received {
  const receivedAt = core.clock.monotonic()
  const timing = {
    receivedWall: core.clock.now(),
    receivedAt,
    responseDelay: receivedAt - startedAt,
  }
  const facts = readFacts(reply.status, new HeaderList(reply.headers), timing, p.policy)
  return { facts, timing, decision: decide(core, p, facts, bodyLength(reply)) }
}

export function decide(
  core: CacheCore,
  p: Pending,
  facts: ResponseFacts,
  size: number | null,
): StoreDecision {
  const decision = storeDecision(
    facts,
    {
      path: p.request.target.path,
      isAuthenticated: p.isAuthenticated,
      hasCookie: (p.flags & COOKIE) !== 0,
      noStore: p.directives.noStore,
    },
    p.policy,
    size,
  )
  const most = Math.max(core.maxMemoryObject, core.lower?.maxObject ?? 0)
  if (decision.store && size !== null && size > most) {
    return { store: false, reason: 'too-large' }
  }
  return decision
}

/**
 * The stored form of a response, with its body or before it is there.
 * @param stamp when the fill began, in the order of purges
 * @returns undefined when a partial response contradicts itself
 */
export function toStored(
  p: Pending,
  { facts, timing }: Received,
  stamp: number,
  body: Uint8Array | null,
  length: number | null,
): StoredResponse | undefined {
  const { policy, request } = p
  const { headers, control } = facts
  let range: StoredResponse['range']
  if (facts.status === 206) {
    range = parseContentRange(headers.get('content-range'))
    if (range === undefined || range.total < 0) return undefined
    if (length !== null && range.last - range.first + 1 !== length) return undefined
  }
  const tags: string[] = []
  for (const name of policy.tagHeaders) {
    for (const tag of headers.joined(name)?.split(/[\s,]+/) ?? []) {
      if (tag !== '' && tags.length < policy.maxTags) tags.push(tag)
    }
  }
  const groups = parseStringList(headers.joined('cache-groups')).slice(0, policy.maxTags)
  const fields = storableFields(headers, droppedFields(p, facts))
  if (!facts.hasDate) fields.push('Date', formatHttpDate(timing.receivedWall))
  if (length !== null && !headers.has('content-length') && mayHaveLength(facts.status)) {
    fields.push('Content-Length', String(length))
  }
  const vary = facts.vary ?? []
  const isByLanguage = vary.length === 1 && vary[0] === 'accept-language'
  return new StoredResponse({
    key: p.key.key,
    url: p.key.url,
    status: facts.status,
    fields,
    body,
    vary,
    signature: vary.length === 0 ? '' : selectingSignature(request.headers, vary, policy.vary),
    language: isByLanguage ? headers.get('content-language') : undefined,
    control,
    lifetime: facts.lifetime,
    initialAge: facts.initialAge,
    receivedAt: timing.receivedAt,
    receivedWall: timing.receivedWall,
    date: facts.date,
    etag: facts.etag,
    lastModified: facts.lastModified,
    lastModifiedAt: facts.lastModifiedAt,
    fetchTook: timing.responseDelay,
    stamp,
    epochNames: epochNames(
      request.scheme,
      policy.key.hostAlias.get(request.authority) ?? request.authority,
      request.target.path,
      p.key.url,
      tags,
      groups,
    ),
    range,
  })
}

function mayHaveLength(status: number): boolean {
  return status !== 204 && status !== 304
}

/** Lower-case names that are not kept for this response. */
function droppedFields(p: Pending, facts: ResponseFacts): string[] {
  const { policy } = p
  const drop = [...facts.control.noCacheFields, ...facts.control.privateFields]
  if (!policy.exposeTags) drop.push(...policy.tagHeaders)
  if (policy.setCookie === 'strip') drop.push('set-cookie', 'set-cookie2')
  return drop
}

/** Fields of a reply that goes to the client as the origin sent it, but for what clients never see. */
export function relayedFields(p: Pending, fields: string[], isStored: boolean): string[] {
  const { policy } = p
  const hidden = policy.exposeTags || p.request.isFromEdge === true ? [] : policy.tagHeaders
  const strip = isStored && policy.setCookie === 'strip'
  if (hidden.length === 0 && !strip) return fields
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    if (hidden.includes(name) || (strip && name.startsWith('set-cookie'))) continue
    kept.push(fields[i] as string, fields[i + 1] as string)
  }
  return kept
}

/**
 * A stored response brought up to date by a 304 or a HEAD response (RFC 9111 §3.2, §4.3.4, §4.3.5).
 */
export function freshened(
  core: CacheCore,
  p: Pending,
  stored: StoredResponse,
  update: Reply,
  startedAt: Millis,
  stamp: number,
): { response: StoredResponse; decision: StoreDecision } {
  const receivedAt = core.clock.monotonic()
  const wall = core.clock.now()
  const timing = { receivedWall: wall, receivedAt, responseDelay: receivedAt - startedAt }
  const sent = new HeaderList(update.headers)
  const drop = droppedFields(p, readFacts(304, sent, timing, p.policy))
  // The tag names the stored bytes: a 304 does not change it (RFC 9111 §4.3.4).
  drop.push('etag')
  const fresh = storableFields(sent, drop)
  const told = updatedFields(stored.fields, fresh)
  const age = sent.joined('age')
  const isDated = sent.has('date')
  // Without a Date of its own the answer was made now (RFC 9110 §6.6.1): to the millisecond for its age.
  const dated = isDated ? told : withoutFields(new HeaderList(told), (name) => name === 'date')
  const read = new HeaderList(age === undefined ? dated : [...dated, 'Age', age])
  const fields = isDated ? told : updatedFields(told, ['Date', formatHttpDate(wall)])
  const facts = readFacts(stored.status, read, timing, p.policy)
  const decision = decide(core, p, facts, stored.bodyLength)
  const vary = facts.vary ?? []
  const response = stored.with({
    fields,
    vary,
    signature: vary.length === 0 ? '' : selectingSignature(p.request.headers, vary, p.policy.vary),
    control: facts.control,
    lifetime: facts.lifetime,
    initialAge: facts.initialAge,
    receivedAt,
    receivedWall: wall,
    date: facts.date,
    etag: facts.etag,
    lastModified: facts.lastModified,
    lastModifiedAt: facts.lastModifiedAt,
    fetchTook: timing.responseDelay,
    stamp,
  })
  return { response, decision }
}

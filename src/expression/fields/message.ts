/** The request body, the response, and the verified token as Cloudflare names its claims. */
import type { Principal } from '../../exchange.ts'
import { lowerAscii, toBytes } from '../bytes.ts'
import { type Field, field } from '../field.ts'
import { Pairs } from '../pairs.ts'
import type { PartView, Subject } from '../subject.ts'
import {
  BOOL,
  BYTES,
  INT,
  INT_MAP,
  INTS,
  STRING_LISTS,
  STRING_MAP,
  STRINGS,
  type Value,
  type ValueMap,
} from '../types.ts'
import { headerAccess, namesOf, valuesOf } from './request.ts'

const BODY = { needs: 'body' } as const
const RESPONSE = { needs: 'response' } as const
const NO_PARTS: readonly PartView[] = []
const NONE: readonly string[] = []
const INSPECTED = 'inspected body'

function parts(subject: Subject): readonly PartView[] {
  return subject.body?.multipart ?? NO_PARTS
}

/** One array a part: empty when the part has no such header, so that positions agree between fields. */
function eachPart(subject: Subject, read: (part: PartView) => string | undefined): Value[] {
  return parts(subject).map((part) => {
    const text = read(part)
    return text === undefined ? NONE : [text]
  })
}

const partMaps = new WeakMap<readonly PartView[], ValueMap>()

function partMap(subject: Subject): ValueMap {
  const all = parts(subject)
  let map = partMaps.get(all)
  if (map === undefined) {
    map = new Pairs(all.flatMap((part) => (part.name === undefined ? [] : [part.name, part.value])))
      .map
    partMaps.set(all, map)
  }
  return map
}

const bodyFields: readonly Field[] = [
  field(
    'http.request.body.raw',
    BYTES,
    INSPECTED,
    'The body as received, up to the inspection limit.',
    (s) => s.body?.raw ?? '',
    BODY,
  ),
  field(
    'http.request.body.size',
    INT,
    INSPECTED,
    'Bytes of the whole body.',
    (s) => s.body?.size ?? 0,
    BODY,
  ),
  field(
    'http.request.body.truncated',
    BOOL,
    INSPECTED,
    'Whether the body goes on after the inspected part.',
    (s) => s.body?.truncated ?? false,
    BODY,
  ),
  field(
    'http.request.body.mime',
    BYTES,
    INSPECTED,
    'Media type detected from the bytes; empty when unknown.',
    (s) => s.body?.mime ?? '',
    BODY,
  ),
  field(
    'http.request.body.form',
    STRING_MAP,
    INSPECTED,
    'Urlencoded form values by name; not decoded.',
    (s) => s.form().map,
    BODY,
  ),
  field(
    'http.request.body.form.names',
    STRINGS,
    INSPECTED,
    'Form names in order.',
    (s) => s.form().names,
    BODY,
  ),
  field(
    'http.request.body.form.values',
    STRINGS,
    INSPECTED,
    'Form values in order.',
    (s) => s.form().values,
    BODY,
  ),
  field(
    'http.request.body.multipart',
    STRING_MAP,
    INSPECTED,
    'Multipart values by part name.',
    partMap,
    BODY,
  ),
  field(
    'http.request.body.multipart.names',
    STRING_LISTS,
    INSPECTED,
    'Names, one array a part.',
    (s) => eachPart(s, (part) => part.name),
    BODY,
  ),
  field(
    'http.request.body.multipart.values',
    STRINGS,
    INSPECTED,
    'Values, one a part.',
    (s) => parts(s).map((part) => part.value),
    BODY,
  ),
  field(
    'http.request.body.multipart.filenames',
    STRING_LISTS,
    INSPECTED,
    'File names, one array a part.',
    (s) => eachPart(s, (part) => part.filename),
    BODY,
  ),
  field(
    'http.request.body.multipart.content_types',
    STRING_LISTS,
    INSPECTED,
    'Content-Type, one array a part.',
    (s) => eachPart(s, (part) => part.contentType),
    BODY,
  ),
  field(
    'http.request.body.multipart.content_dispositions',
    STRING_LISTS,
    INSPECTED,
    'Content-Disposition, one array a part.',
    (s) => eachPart(s, (part) => part.contentDisposition),
    BODY,
  ),
  field(
    'http.request.body.multipart.content_transfer_encodings',
    STRING_LISTS,
    INSPECTED,
    'Content-Transfer-Encoding, one array a part.',
    (s) => eachPart(s, (part) => part.contentTransferEncoding),
    BODY,
  ),
]

/** Lower-cased type and subtype without parameters. */
export function mediaType(contentType: string | undefined): string {
  if (contentType === undefined) return ''
  const semicolon = contentType.indexOf(';')
  return lowerAscii(semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim()
}

const responseFields: readonly Field[] = [
  field(
    'http.response.code',
    INT,
    'response',
    'Status code; 0 before there is a response.',
    (s) => s.response?.status ?? 0,
    RESPONSE,
  ),
  field(
    'http.response.headers',
    STRING_MAP,
    'response',
    'Response header values by lower-case name.',
    (s) => s.responseHeaders().map,
    {
      ...RESPONSE,
      isLowerCase: true,
      access: headerAccess((s) => s.response?.headers),
    },
  ),
  field(
    'http.response.headers.names',
    STRINGS,
    'response',
    'Response header names in wire order and case.',
    (s) => (s.response === undefined ? NONE : namesOf(s.response.headers)),
    RESPONSE,
  ),
  field(
    'http.response.headers.values',
    STRINGS,
    'response',
    'Response header values in wire order.',
    (s) => (s.response === undefined ? NONE : valuesOf(s.response.headers)),
    RESPONSE,
  ),
  field(
    'http.response.content_type.media_type',
    BYTES,
    'response',
    'Lower-case media type of the response without parameters.',
    (s) => mediaType(s.response?.headers.get('content-type')),
    { ...RESPONSE, isLowerCase: true },
  ),
]

const NO_CLAIMS: ValueMap = new Map()

function token(subject: Subject): Principal | undefined {
  const { principal } = subject.exchange
  return principal?.kind === 'jwt' ? principal : undefined
}

function texts(value: unknown): string[] {
  const items = Array.isArray(value) ? value : [value]
  return items.filter((item) => typeof item === 'string').map(toBytes)
}

function integers(value: unknown): number[] {
  return typeof value === 'number' ? [Math.floor(value)] : []
}

/** Map, names and values of one claim, keyed by the token's issuer. */
function claim(name: string, path: string, isInteger: boolean, what: string): Field[] {
  const full = `http.request.jwt.claims.${path}`
  const source = 'verified token'
  const valuesIn = (subject: Subject): readonly Value[] => {
    const value = token(subject)?.claims[name]
    return isInteger ? integers(value) : texts(value)
  }
  const read = (subject: Subject): ValueMap => {
    const values = valuesIn(subject)
    return values.length === 0
      ? NO_CLAIMS
      : new Map([[toBytes(token(subject)?.issuer ?? ''), values]])
  }
  return [
    field(full, isInteger ? INT_MAP : STRING_MAP, source, `${what}, by issuer.`, read),
    field(`${full}.names`, STRINGS, source, `The issuer, when the token has the claim.`, (s) => [
      ...read(s).keys(),
    ]),
    field(`${full}.values`, isInteger ? INTS : STRINGS, source, `${what}.`, valuesIn),
  ]
}

const claimFields: readonly Field[] = [
  ...claim('aud', 'aud', false, 'Audience'),
  ...claim('iss', 'iss', false, 'Issuer'),
  ...claim('sub', 'sub', false, 'Subject'),
  ...claim('jti', 'jti', false, 'Token id'),
  ...claim('iat', 'iat.sec', true, 'Time of issue, seconds since 1970'),
  ...claim('nbf', 'nbf.sec', true, 'Time before which it is not valid, seconds since 1970'),
]

export const messageFields: readonly Field[] = [...bodyFields, ...responseFields, ...claimFields]

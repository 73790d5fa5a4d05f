/** The variables that rules may name, and whether what they hold may change while a phase runs. */

export interface VariableKind {
  readonly name: string
  /** Dense, from 0. */
  readonly index: number
  /** Named members (`ARGS:q`), or one value. */
  readonly isCollection: boolean
  /** Never kept from one rule to the next. */
  readonly isVolatile: boolean
}

const COLLECTIONS = [
  'ARGS',
  'ARGS_GET',
  'ARGS_GET_NAMES',
  'ARGS_NAMES',
  'ARGS_POST',
  'ARGS_POST_NAMES',
  'ENV',
  'FILES',
  'FILES_NAMES',
  'FILES_SIZES',
  'FILES_TMPNAMES',
  'FILES_TMP_CONTENT',
  'GEO',
  'GLOBAL',
  'IP',
  'MULTIPART_FILENAME',
  'MULTIPART_NAME',
  'MULTIPART_PART_HEADERS',
  'REQUEST_COOKIES',
  'REQUEST_COOKIES_NAMES',
  'REQUEST_HEADERS',
  'REQUEST_HEADERS_NAMES',
  'RESOURCE',
  'RESPONSE_HEADERS',
  'RESPONSE_HEADERS_NAMES',
  'SESSION',
  'USER',
  'XML',
] as const

const VOLATILE_COLLECTIONS = ['MATCHED_VARS', 'MATCHED_VARS_NAMES', 'RULE', 'TX'] as const

const SINGLES = [
  'ARGS_COMBINED_SIZE',
  'AUTH_TYPE',
  'FILES_COMBINED_SIZE',
  'FULL_REQUEST',
  'FULL_REQUEST_LENGTH',
  'INBOUND_DATA_ERROR',
  'MULTIPART_BOUNDARY_QUOTED',
  'MULTIPART_BOUNDARY_WHITESPACE',
  'MULTIPART_CRLF_LF_LINES',
  'MULTIPART_DATA_AFTER',
  'MULTIPART_DATA_BEFORE',
  'MULTIPART_FILE_LIMIT_EXCEEDED',
  'MULTIPART_HEADER_FOLDING',
  'MULTIPART_INVALID_HEADER_FOLDING',
  'MULTIPART_INVALID_PART',
  'MULTIPART_INVALID_QUOTING',
  'MULTIPART_LF_LINE',
  'MULTIPART_MISSING_SEMICOLON',
  'MULTIPART_STRICT_ERROR',
  'MULTIPART_UNMATCHED_BOUNDARY',
  'OUTBOUND_DATA_ERROR',
  'PATH_INFO',
  'QUERY_STRING',
  'REMOTE_ADDR',
  'REMOTE_HOST',
  'REMOTE_PORT',
  'REMOTE_USER',
  'REQBODY_ERROR',
  'REQBODY_ERROR_MSG',
  'REQBODY_PROCESSOR',
  'REQBODY_PROCESSOR_ERROR',
  'REQBODY_PROCESSOR_ERROR_MSG',
  'REQUEST_BASENAME',
  'REQUEST_BODY',
  'REQUEST_BODY_LENGTH',
  'REQUEST_FILENAME',
  'REQUEST_LINE',
  'REQUEST_METHOD',
  'REQUEST_PROTOCOL',
  'REQUEST_URI',
  'REQUEST_URI_RAW',
  'RESPONSE_BODY',
  'RESPONSE_CONTENT_LENGTH',
  'RESPONSE_CONTENT_TYPE',
  'RESPONSE_PROTOCOL',
  'RESPONSE_STATUS',
  'SERVER_ADDR',
  'SERVER_NAME',
  'SERVER_PORT',
  'SESSIONID',
  'STATUS_LINE',
  'UNIQUE_ID',
  'USERID',
  'WEBAPPID',
] as const

const VOLATILE_SINGLES = [
  'DURATION',
  'HIGHEST_SEVERITY',
  'MATCHED_VAR',
  'MATCHED_VAR_NAME',
  'TIME',
  'TIME_DAY',
  'TIME_EPOCH',
  'TIME_HOUR',
  'TIME_MIN',
  'TIME_MON',
  'TIME_SEC',
  'TIME_WDAY',
  'TIME_YEAR',
] as const

export type VariableName =
  | (typeof COLLECTIONS)[number]
  | (typeof VOLATILE_COLLECTIONS)[number]
  | (typeof SINGLES)[number]
  | (typeof VOLATILE_SINGLES)[number]

const byName = new Map<string, VariableKind & { readonly name: VariableName }>()

function register(
  names: readonly VariableName[],
  isCollection: boolean,
  isVolatile: boolean,
): void {
  for (const name of names) byName.set(name, { name, index: byName.size, isCollection, isVolatile })
}
register(COLLECTIONS, true, false)
register(VOLATILE_COLLECTIONS, true, true)
register(SINGLES, false, false)
register(VOLATILE_SINGLES, false, true)

export const VARIABLE_COUNT = byName.size
export const VARIABLE_NAMES: readonly VariableName[] = [...byName.values()].map((kind) => kind.name)

export function variableByName(
  name: string,
): (VariableKind & { readonly name: VariableName }) | undefined {
  return byName.get(name.toUpperCase())
}

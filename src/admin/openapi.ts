/** The description of the control port, OpenAPI 3.1, made of its table of routes. */
import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { type AdminRoute, parametersOf } from './route.ts'

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** Problems that any route may answer, by status. */
const COMMON: Readonly<Record<number, string>> = {
  400: 'The request does not hold.',
  401: 'A valid bearer token is required.',
  403: 'The caller may not do this, or the request came from another site.',
  421: 'The Host is not served here.',
  429: 'Too many wrong tokens; Retry-After says for how long.',
  500: 'The control port failed.',
}

const PROBLEM: Json = {
  type: 'object',
  required: ['type', 'title', 'status'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    problems: { type: 'array', items: { $ref: '#/components/schemas/ConfigProblem' } },
  },
}

const CONFIG_PROBLEM: Json = {
  type: 'object',
  required: ['path', 'message'],
  properties: {
    path: { type: 'string' },
    message: { type: 'string' },
    hint: { type: 'string' },
    line: { type: 'integer', minimum: 1 },
    column: { type: 'integer', minimum: 1 },
  },
}

/** JSON Schema of what a caller sends; what JSON Schema cannot say (a check in code) is left out. */
function schemaOf(schema: v.GenericSchema): Json {
  const { $schema: _, ...rest } = toJsonSchema(schema, { errorMode: 'ignore', typeMode: 'input' })
  return rest as JsonSchema as Json
}

function operationId({ method, path }: AdminRoute): string {
  const words = path.split(/[^a-z]+/i).filter((word) => word !== '')
  return [method, ...(words.length === 0 ? ['index'] : words)]
    .map((word, at) => (at === 0 ? word : (word[0] as string).toUpperCase() + word.slice(1)))
    .join('')
}

function parameters(route: AdminRoute): Json[] {
  const found: Json[] = parametersOf(route.path).map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  if (route.query !== undefined) {
    const { properties = {}, required = [] } = toJsonSchema(route.query, {
      errorMode: 'ignore',
      typeMode: 'input',
    })
    for (const [name, schema] of Object.entries(properties)) {
      found.push({
        name,
        in: 'query',
        required: required.includes(name),
        schema: schema as JsonSchema as Json,
      })
    }
  }
  for (const [name, description] of Object.entries(route.headers ?? {})) {
    found.push({ name, in: 'header', required: false, description, schema: { type: 'string' } })
  }
  return found
}

function operation(route: AdminRoute): Json {
  const { answer, body, level, mediaType = 'application/json' } = route
  const problem = (description: string): Json => ({
    description,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  })
  const responses: Record<string, Json> = {
    200: {
      description: answer.description,
      content: {
        [mediaType]: {
          schema: answer.schema === undefined ? {} : schemaOf(answer.schema),
        },
      },
    },
  }
  const problems: Record<number, string> = { ...COMMON, ...route.problems }
  if (level === 'open') delete problems[401]
  if (body !== undefined) {
    problems[413] = 'The body is too large.'
    problems[415] = 'Send JSON as application/json.'
  }
  if (route.missing !== undefined) problems[404] ??= 'This gateway has none.'
  for (const [status, description] of Object.entries(problems)) {
    responses[status] = problem(description)
  }
  return {
    operationId: operationId(route),
    summary: route.summary,
    'x-level': level,
    ...(route.action === undefined ? {} : { 'x-audit': route.action }),
    ...(level === 'open' ? { security: [] } : {}),
    parameters: parameters(route),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              'application/json': {
                schema: body === 'text' ? { type: ['object', 'string'] } : schemaOf(body),
              },
            },
          },
        }),
    responses,
  }
}

export function openApi(routes: readonly AdminRoute[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of routes) {
    paths[route.path] ??= {}
    const methods = paths[route.path] as Record<string, Json>
    methods[route.method] = operation(route)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Meridian control port',
      version,
      description:
        'Health, metrics, explanations and orders. `x-level` says what a caller must be allowed: open, read, operate or administer; `x-audit` names the action in the audit log.',
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: PROBLEM, ConfigProblem: CONFIG_PROBLEM },
    },
  }
}

/**
 * What is published of the config's schema: `meridian.schema.json` for editors and
 * `docs/configuration.md` for people. Made by the test beside this file, which fails when they drift.
 */
import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import { ConfigSchema } from './schema.ts'
import { DURATION_PATTERN, SIZE_PATTERN } from './values.ts'

/** The JSON Schema (draft-07, which editors know best) of a config as it is written. */
export function publishSchema(): JsonSchema {
  const schema = toJsonSchema(ConfigSchema, { typeMode: 'input', errorMode: 'ignore' })
  return withoutEmptyRequired({
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Meridian configuration',
    ...schema,
    // Editors that read JSON Schema for JSON with comments look at these.
    ...{ allowComments: true, allowTrailingCommas: true },
  })
}

function withoutEmptyRequired<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutEmptyRequired) as T
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value)
    .filter(([key, item]) => !(key === 'required' && Array.isArray(item) && item.length === 0))
    .map(([key, item]) => [key, withoutEmptyRequired(item)])
  return Object.fromEntries(entries) as T
}

const INTRODUCTION = `# Configuration

<!-- Generated from the schema: change the descriptions there, then run
     UPDATE_DOCS=1 UPDATE_SCHEMA=1 npx vitest run src/config/publish.test.ts -->

One JSON file, \`meridian.json\` unless \`--config\` names another. Comments and trailing commas are
allowed. \`"$schema"\` gives completion and checks in editors; \`meridian schema\` prints the schema,
\`meridian init\` writes a file to start from, and \`meridian check\` says everything that is wrong with one,
with line and column.

- Unknown keys are errors, and so are keys that come twice.
- A **duration** is a number with a unit: \`"250ms"\`, \`"30s"\`, \`"5m"\`, \`"12h"\`, \`"7d"\`.
- A **size** is a number with a unit: \`"64KiB"\`, \`"10MB"\`, \`"1GiB"\`.
- A **secret** is never in the file. It is named: \`{"env": "NAME"}\` or \`{"file": "/run/secrets/name"}\`.
- A **path** is absolute, or relative to the config file.
- An **expression** is written in the rules language, the same everywhere: see [expressions.md](expressions.md).

A change of the file, or of a file it names, is taken over while the gateway runs; requests under way
finish with what they began with. A file that does not hold is refused and the old one stays.

The smallest config:

\`\`\`json
{
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [{ "pools": ["app"] }]
}
\`\`\`
`

/** The reference in Markdown: a chapter for each section, a table for each object. */
export function publishReference(schema: JsonSchema): string {
  const parts = [INTRODUCTION, '## Sections\n']
  const sections = Object.entries(schema.properties ?? {}).filter(([key]) => key !== '$schema')
  const rows = sections.map(([key, section]) => [
    `[\`${key}\`](#${slug(key)})`,
    firstSentence(asSchema(section).description ?? ''),
  ])
  parts.push(table(['Section', 'What it is for'], rows))
  const told = new Map<string, string>()
  for (const [key, section] of sections) {
    const isRequired = schema.required?.includes(key) === true
    parts.push(...chapter(key, asSchema(section), 2, told, isRequired))
  }
  return `${parts.join('\n').trimEnd()}\n`
}

/** Objects with fewer fields than this are written out again instead of referred to. */
const WORTH_REFERRING = 3

/**
 * A heading, the description, a table of fields; then the same for what is nested.
 * @param told  chapters by what they say of the fields, so that nothing long is said twice
 */
function chapter(
  path: string,
  schema: JsonSchema,
  level: number,
  told: Map<string, string>,
  isRequired = false,
): string[] {
  const parts = [`${'#'.repeat(Math.min(level, 4))} \`${path}\`\n`]
  if (schema.description !== undefined) parts.push(`${schema.description}\n`)
  const form = elementOf(path, schema)
  const facts: string[] = []
  if (isRequired) facts.push('Required.')
  if (level === 2 && schema.type !== 'object') facts.push(`Type: ${typeText(schema)}.`)
  if (level === 2 && isSimple(schema.default)) facts.push(`Default: ${code(schema.default)}.`)
  if (facts.length > 0) parts.push(`${facts.join(' ')}\n`)
  const objects = objectForms(form.schema)
  const fields = JSON.stringify(objects.map((object) => object.properties))
  const before = told.get(fields)
  if (before !== undefined)
    return [...parts, `The same fields as [\`${before}\`](#${slug(before)}).\n`]
  const count = Math.max(0, ...objects.map((object) => Object.keys(object.properties ?? {}).length))
  if (count >= WORTH_REFERRING) told.set(fields, path)
  const nested: [path: string, schema: JsonSchema][] = []
  objects.forEach((object, index) => {
    if (objects.length > 1) parts.push(`Form ${index + 1} of ${objects.length}:\n`)
    const rows = Object.entries(object.properties ?? {}).map(([key, value]) => {
      const field = asSchema(value)
      const here = `${form.path}.${key}`
      const isNested = objectForms(elementOf(here, field).schema).length > 0 && !isSecret(field)
      if (isNested) nested.push([here, field])
      const name = isNested ? `[\`${key}\`](#${slug(here)})` : `\`${key}\``
      const isNeeded = object.required?.includes(key) === true
      return [
        name,
        typeText(field),
        isNeeded ? '**required**' : defaultText(field),
        field.description ?? '',
      ]
    })
    if (rows.length > 0) parts.push(table(['Field', 'Type', 'Default', 'Description'], rows))
  })
  const written = new Set<string>()
  for (const [here, field] of nested) {
    if (written.has(here)) continue
    written.add(here)
    parts.push(...chapter(here, field, level + 1, told))
  }
  return parts
}

/** Goes into lists and records, to what their entries are. */
function elementOf(path: string, schema: JsonSchema): { path: string; schema: JsonSchema } {
  if (schema.type === 'array' && isSchema(schema.items)) {
    return elementOf(`${path}[]`, asSchema(schema.items))
  }
  if (schema.type === 'object' && isSchema(schema.additionalProperties)) {
    return elementOf(`${path}.<name>`, asSchema(schema.additionalProperties))
  }
  const forms = schema.anyOf?.map(asSchema).filter((form) => form.type === 'array') ?? []
  const [only] = forms
  return forms.length === 1 && only !== undefined ? elementOf(path, only) : { path, schema }
}

/** The objects with listed keys that a schema may be. */
function objectForms(schema: JsonSchema): JsonSchema[] {
  if (schema.properties !== undefined) return [schema]
  const branches = schema.anyOf ?? schema.oneOf ?? []
  return branches.map(asSchema).flatMap(objectForms)
}

function isSecret(schema: JsonSchema): boolean {
  const keys = objectForms(schema).map((form) => Object.keys(form.properties ?? {}).join())
  return keys.length === 2 && keys[0] === 'env' && keys[1] === 'file'
}

function typeText(schema: JsonSchema): string {
  if (schema.const !== undefined) return code(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ')
  if (isSecret(schema)) return 'secret'
  const branches = schema.anyOf ?? schema.oneOf
  if (branches !== undefined) {
    return [...new Set(branches.map((branch) => typeText(asSchema(branch))))].join(' or ')
  }
  switch (schema.type) {
    case 'array':
      return isSchema(schema.items) ? `list of ${typeText(asSchema(schema.items))}` : 'list'
    case 'object':
      return isSchema(schema.additionalProperties)
        ? `${typeText(asSchema(schema.additionalProperties))} by name`
        : 'object'
    case 'string':
      if (schema.pattern === DURATION_PATTERN) return 'duration'
      if (schema.pattern === SIZE_PATTERN) return 'size'
      return schema.minLength === 1 && schema.maxLength === 4096 ? stringText(schema) : 'string'
    case 'number':
    case 'integer':
      return numberText(schema)
    case 'boolean':
      return 'boolean'
    default:
      return typeof schema.type === 'string' ? schema.type : 'any'
  }
}

/** Paths and expressions are strings of 1 to 4096 characters; their descriptions tell them apart. */
function stringText(schema: JsonSchema): string {
  return /\bfile\b|^Path\b/i.test(schema.description ?? '') ? 'path' : 'expression'
}

function numberText(schema: JsonSchema): string {
  const { minimum, maximum } = schema
  const noun = schema.type === 'integer' ? 'integer' : 'number'
  if (minimum !== undefined && maximum !== undefined) return `${noun}, ${minimum} to ${maximum}`
  return minimum === undefined ? noun : `${noun}, at least ${minimum}`
}

function defaultText(schema: JsonSchema): string {
  const value = schema.default
  if (value === undefined) return ''
  return isSimple(value) || Array.isArray(value) ? code(value) : ''
}

function isSimple(value: unknown): boolean {
  return value !== undefined && (value === null || typeof value !== 'object')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`
}

function code(value: unknown): string {
  return `\`${JSON.stringify(value)}\``
}

/** The anchor that GitHub gives a heading. */
function slug(heading: string): string {
  return heading.toLowerCase().replace(/[^a-z0-9 _-]/g, '')
}

function firstSentence(text: string): string {
  const end = text.search(/\.( |$)/)
  return end < 0 ? text : text.slice(0, end + 1)
}

function isSchema(value: unknown): boolean {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** JSON Schema lets `true` and `false` stand for schemas; ours never do. */
function asSchema(value: unknown): JsonSchema {
  return isSchema(value) ? (value as JsonSchema) : {}
}

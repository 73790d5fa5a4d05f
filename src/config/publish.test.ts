import { readFileSync, writeFileSync } from 'node:fs'
import type { JsonSchema } from '@valibot/to-json-schema'
import { describe, expect, it } from 'vitest'
import { publishReference, publishSchema } from './publish.fixture.ts'

const SCHEMA = new URL('../../meridian.schema.json', import.meta.url)
const REFERENCE = new URL('../../docs/configuration.md', import.meta.url)

/** Every field of every object: path, schema. */
function fields(schema: JsonSchema, path = ''): [string, JsonSchema][] {
  const found: [string, JsonSchema][] = []
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    if (typeof value !== 'object') continue
    found.push([`${path}.${key}`, value], ...fields(value, `${path}.${key}`))
  }
  const inner = [schema.items, schema.additionalProperties, ...(schema.anyOf ?? [])]
  for (const value of [...inner, ...(schema.oneOf ?? [])]) {
    if (typeof value === 'object' && !Array.isArray(value))
      found.push(...fields(value, `${path}[]`))
  }
  return found
}

describe('what is published of the config schema', () => {
  const schema = publishSchema()

  it('meridian.schema.json is what the schema says (UPDATE_SCHEMA=1 rewrites it)', () => {
    const text = `${JSON.stringify(schema, null, 2)}\n`
    if (process.env.UPDATE_SCHEMA === '1') writeFileSync(SCHEMA, text)
    expect(readFileSync(SCHEMA, 'utf8')).toBe(text)
  })

  it('docs/configuration.md is what the schema says (UPDATE_DOCS=1 rewrites it)', () => {
    const text = publishReference(schema)
    if (process.env.UPDATE_DOCS === '1') writeFileSync(REFERENCE, text)
    expect(readFileSync(REFERENCE, 'utf8')).toBe(text)
  })

  it('says how values with units are written, keeps defaults, and closes objects', () => {
    const header = fields(schema).find(([path]) => path === '.listen.timeouts.header')?.[1]
    expect(header).toMatchObject({ type: 'string', default: '10s', pattern: expect.any(String) })
    expect(new RegExp(String(header?.pattern)).test('1.5h')).toBe(true)
    expect(schema.additionalProperties).toBe(false)
    expect(schema.required).toEqual(['routes'])
  })

  it('describes every section and most fields', () => {
    const sections = Object.entries(schema.properties ?? {})
    const silent = sections.filter(([, value]) => typeof value !== 'object' || !value.description)
    expect(silent.map(([key]) => key)).toEqual([])
    const all = fields(schema)
    const described = all.filter(([, field]) => field.description !== undefined)
    expect(described.length / all.length).toBeGreaterThan(0.9)
  })
})

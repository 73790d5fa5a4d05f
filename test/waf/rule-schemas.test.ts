import { readFileSync, writeFileSync } from 'node:fs'
import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { SeclangRulesetSchema } from '../../src/waf/engine/rule-schema.ts'
import { RulesetSchema } from '../../src/waf/rules/rule-schema.ts'

function published(schema: v.GenericSchema): string {
  const json = toJsonSchema(schema, { typeMode: 'input', errorMode: 'ignore' })
  return `${JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', ...json }, null, 2)}\n`
}

describe('the schemas of rule files', () => {
  it.each([
    ['ruleset.schema.json', RulesetSchema],
    ['seclang.schema.json', SeclangRulesetSchema],
  ] as const)(
    'rules/%s is what the validator says (UPDATE_SCHEMA=1 rewrites it)',
    (file, schema) => {
      const url = new URL(`../../rules/${file}`, import.meta.url)
      const text = published(schema)
      if (process.env.UPDATE_SCHEMA === '1') writeFileSync(url, text)
      expect(readFileSync(url, 'utf8')).toBe(text)
    },
  )
})

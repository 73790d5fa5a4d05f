/** The pages hold: configs load and compile, links lead somewhere, commands and scripts exist. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type ParseError, parse } from 'jsonc-parser'
import { describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { compileForCheck } from '../../src/cli/compile-check.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import { ConfigSchema } from '../../src/config/schema.ts'
import { inProcess } from '../cli/cli.fixture.ts'
import {
  anchors,
  type Block,
  blocks,
  links,
  names,
  PAGES,
  page,
  ROOT,
  table,
} from './pages.fixture.ts'

const allBlocks = PAGES.flatMap(blocks)
const where = (block: Block) => `${block.page}:${block.line}`

/** What a fragment needs to be a config. */
const BASE = {
  pools: { app: { origins: [{ url: 'http://127.0.0.1:3000' }] } },
  routes: [{ pools: ['app'] }],
}

/** Files that pages name and that are not free in what they hold. */
const FILES: Readonly<Record<string, object>> = {
  'rules/own.json': { ruleset: 'own', rules: [] },
  'rules/crs.json': {
    ruleset: 'crs',
    rules: [941160, 942100].map((id) => ({
      id,
      phase: 2,
      targets: ['ARGS'],
      operator: { name: 'rx', argument: 'x' },
      action: 'block',
    })),
  },
}

/** A JSON block that is a config or a part of one: all of its keys are sections. */
function configText(block: Block): string | undefined {
  if (!['json', 'jsonc'].includes(block.language)) return undefined
  if (block.mark === 'config') return block.text
  const errors: ParseError[] = []
  const value: unknown = parse(block.text, errors, { allowTrailingComma: true })
  if (errors.length > 0 || typeof value !== 'object' || value === null) return undefined
  const keys = Object.keys(value)
  if (keys.length === 0 || !keys.every((key) => key in ConfigSchema.entries)) return undefined
  return JSON.stringify({ ...BASE, ...value })
}

const configs = allBlocks.flatMap((block) => {
  const text = configText(block)
  return text === undefined ? [] : [{ at: where(block), text }]
})

describe('configs in the pages', () => {
  it('are found', () => {
    const marked = allBlocks.filter((block) => block.mark === 'config').map((block) => block.page)
    expect(new Set(marked)).toEqual(
      new Set([
        'README.md',
        'docs/admin-api.md',
        'docs/alibaba-cloud.md',
        'docs/operations.md',
        'docs/steering.md',
      ]),
    )
    expect(configs.length).toBeGreaterThanOrEqual(9)
  })

  it.each(configs)('$at parses and compiles', async ({ at, text }) => {
    parseConfig(text, at)
    // Files and secrets are the reader's own; that they are asked for is enough.
    const loaded = await loadConfig(text, {
      file: at,
      readSecret: () => 's'.repeat(32),
      readFile: (path) => (FILES[path] === undefined ? '' : JSON.stringify(FILES[path])),
    })
    expect(await compileForCheck(loaded)).toEqual([])
  })
})

describe('links', () => {
  const byPath = new Map(PAGES.map((one) => [one.path, anchors(one)]))

  it.each(PAGES.map((one) => [one.path, one] as const))('of %s lead somewhere', (_, one) => {
    const broken = links(one).filter(({ target, anchor }) => {
      if (!existsSync(join(ROOT, target))) return true
      return anchor !== undefined && byPath.get(target)?.has(anchor) !== true
    })
    expect(broken).toEqual([])
  })

  it('of the index reach every page of docs/', () => {
    const linked = links(page('docs/README.md')).map(({ target }) => target)
    const pages = PAGES.map(({ path }) => path).filter(
      (path) => path.startsWith('docs/') && path !== 'docs/README.md',
    )
    expect(linked).toEqual(expect.arrayContaining(pages))
  })
})

describe('commands in the pages', () => {
  /** In code blocks at the beginning of a line, and in code font. */
  const lines = PAGES.flatMap((one) => [
    ...blocks(one)
      .filter(({ language }) => ['sh', 'console', ''].includes(language))
      .flatMap(({ text }) => text.split('\n')),
    ...names(one.text.replace(/^```[\s\S]*?^```$/gm, '')),
  ])

  it('are verbs of the program, with options that it knows', async () => {
    const help = new Map<string, string>()
    const used = new Set<string>()
    for (const line of lines) {
      const command = /^(?:\$ )?(?:meridian|node dist\/cli\/main\.js) +([a-z].*)$/.exec(line)?.[1]
      if (command === undefined) continue
      const [verb] = command.split(' ') as [string]
      used.add(verb)
      if (!help.has(verb)) {
        const { code, out } = await inProcess([verb, '--help'])
        expect(code, `meridian ${verb}`).toBe(0)
        help.set(verb, out)
      }
      for (const [flag] of command.replace(/[#&].*$/, '').matchAll(/(?<= )--?[a-zA-Z][a-z-]*/g)) {
        expect(help.get(verb), line).toMatch(new RegExp(`(^|[ ,])${flag}\\b`, 'm'))
      }
    }
    expect([...used].sort()).toEqual(
      expect.arrayContaining(['check', 'explain', 'geo', 'init', 'schema', 'start']),
    )
  })

  it('are scripts of package.json', () => {
    const scripts = new Set<string>()
    for (const { text } of PAGES) {
      for (const match of text.matchAll(/\bnpm run ([a-z:]+)/g)) scripts.add(match[1]!)
    }
    expect(Object.keys(packageJson.scripts)).toEqual(expect.arrayContaining([...scripts]))
    expect(scripts.size).toBeGreaterThan(5)
  })
})

describe('the reload table of docs/operations.md', () => {
  const rows = table(page('docs/operations.md'), '| section | by reload |')

  it('has every section', () => {
    const listed = rows.flatMap(([section]) => names(section!))
    expect([...listed, '$schema'].sort()).toEqual(Object.keys(ConfigSchema.entries).sort())
  })
})

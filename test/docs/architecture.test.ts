/** The tables of the architecture and operations pages say what the code does. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PROBLEMS } from '../../src/http/problem.ts'
import { names, page, ROOT, table } from './pages.fixture.ts'

const architecture = page('docs/architecture.md')
const source = (path: string) => readFileSync(join(ROOT, path), 'utf8')

interface Boundaries {
  readonly MAY: Readonly<Record<string, readonly string[]>>
  readonly PACKAGES: readonly { readonly pattern: RegExp; readonly layers: readonly string[] }[]
}

/** The tables of the check itself, which cannot be imported: it runs, and ends the process. */
function boundaries(): Boundaries {
  const text = source('.ci/boundaries.mjs')
  const tables = text.slice(text.indexOf('const DOMAINS'), text.indexOf('const IMPORT'))
  return new Function(`${tables}; return { MAY, PACKAGES }`)() as Boundaries
}

const { MAY, PACKAGES } = boundaries()
const sorted = (list: readonly string[]) => [...list].sort()

describe('who may import whom', () => {
  it('is the table of .ci/boundaries.mjs', () => {
    const documented: Record<string, string[]> = {}
    const core: string[] = []
    for (const [left, right] of table(architecture, '| layer | may import')) {
      const layers = names(left!)
      const [text, except] = right!.split(' but ') as [string, string?]
      const peers = text.includes('each other') ? layers : []
      const above = text.includes('*all of the above*') ? core : []
      const left_out = except === undefined ? [] : names(except)
      for (const layer of layers) {
        documented[layer] = [...new Set([...names(text), ...above, ...peers])].filter(
          (other) => other !== layer && !left_out.includes(other),
        )
      }
      core.push(...layers)
    }
    const enforced = Object.fromEntries(
      Object.entries(MAY).map(([layer, may]) => [layer, may.filter((other) => other !== layer)]),
    )
    expect(sorted(Object.keys(documented))).toEqual(sorted(Object.keys(enforced)))
    for (const [layer, may] of Object.entries(enforced)) {
      expect(sorted(documented[layer]!), layer).toEqual(sorted(may))
    }
  })

  it('has the packages of .ci/boundaries.mjs', () => {
    const rows = table(architecture, '| packages | only in |')
    expect(rows).toHaveLength(PACKAGES.length)
    for (const [left, right] of rows) {
      for (const name of names(left!)) {
        const rule = PACKAGES.find(({ pattern }) => pattern.test(name.replace('*', 'x')))
        expect(rule?.layers, name).toEqual(names(right!))
      }
    }
  })
})

describe('the path of a request', () => {
  it('is the list of src/gateway.ts', () => {
    const list = /const PATH: [^=]*= \[([^\]]*)\]/.exec(source('src/gateway.ts'))?.[1]
    const steps = list?.match(/\w+/g)
    const rows = table(architecture, '| # | step | file |')
    expect(rows.map(([, step]) => names(step!)[0])).toEqual(steps)
    expect(rows.map(([number]) => Number(number))).toEqual(rows.map((_, index) => index + 1))
    for (const [, step, file] of rows) {
      const path = join('src', names(`\`${/`([^`]+)`/.exec(file!)?.[1]}\``)[0]!)
      expect(existsSync(join(ROOT, path)), path).toBe(true)
      expect(source(path)).toContain(`export function ${names(step!)[0]}(`)
    }
  })
})

describe('ports', () => {
  it('are those that the platform bundles', () => {
    const body = /export interface Platform \{([^}]*)\}/.exec(source('src/ports.ts'))?.[1] ?? ''
    const types = [...body.matchAll(/: ([A-Z]\w*)/g)].map((match) => match[1]!)
    const rows = table(architecture, '| port | what |')
    expect(sorted(rows.flatMap(([port]) => names(port!)))).toEqual(sorted([...new Set(types)]))
  })
})

describe('answers that the gateway makes itself', () => {
  it('are all in docs/operations.md, with their status', () => {
    const rows = table(page('docs/operations.md'), '| code | status |')
    const documented = Object.fromEntries(
      rows.map(([code, status]) => [names(code!)[0], Number(status)]),
    )
    const actual = Object.fromEntries(
      Object.entries(PROBLEMS).map(([code, { status }]) => [code, status]),
    )
    expect(documented).toEqual(actual)
  })
})

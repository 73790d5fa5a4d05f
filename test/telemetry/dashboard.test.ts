/** deploy/grafana/meridian.json asks for metrics that there are, by labels that they have. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CATALOGUE } from '../../src/telemetry/catalogue.ts'
import type { MetricDefinition } from '../../src/telemetry/metrics.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: {
    readonly x: number
    readonly y: number
    readonly w: number
    readonly h: number
  }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(
  readFileSync(new URL('../../deploy/grafana/meridian.json', import.meta.url), 'utf8'),
) as {
  readonly panels: readonly Panel[]
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: unknown }[]
  }
}

const METRICS = new Map<string, MetricDefinition>(
  Object.values(CATALOGUE).map((one: MetricDefinition) => [one.name, one]),
)
/** Labels that Prometheus adds when it scrapes. */
const SCRAPED = ['instance', 'job']

const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
)

/** Every metric in an expression with its definition. */
function metricsIn(expr: string): { name: string; suffix: string; matchers: string }[] {
  return [
    ...expr.matchAll(/\b((?:meridian|process)_[a-z_]+?)(_bucket)?(?=[{\s),[])(\{[^}]*\})?/g),
  ].map((match) => ({ name: match[1]!, suffix: match[2] ?? '', matchers: match[3] ?? '' }))
}

describe('the dashboard', () => {
  it.each(queries)('$title: $expr', ({ expr, legendFormat }) => {
    const found = metricsIn(expr)
    expect(found.length).toBeGreaterThan(0)
    const known = new Set(SCRAPED)
    for (const { name, suffix, matchers } of found) {
      const definition = METRICS.get(name)
      expect(definition, name).toBeDefined()
      expect(suffix === '_bucket', name).toBe(definition?.type === 'histogram')
      for (const [, label] of matchers.matchAll(/(\w+)(?==~|!=|=)/g)) {
        expect([...definition!.labels, ...SCRAPED], name).toContain(label)
      }
      for (const label of definition!.labels) known.add(label)
      // A counter says nothing by its height, a gauge nothing by its rise.
      const isRated = new RegExp(`(rate|increase)\\(${name}`).test(expr)
      expect(isRated, name).toBe(definition?.type !== 'gauge')
    }
    const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap((match) =>
      match[1]!.split(', '),
    )
    for (const label of grouped) expect([...known, 'le']).toContain(label)
    for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
      expect(grouped).toContain(label)
  })

  it('has panels that do not lie over each other, and variables that it uses', () => {
    const { panels, templating } = dashboard
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = new Set<string>()
    for (const { gridPos, title } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x} ${y}`), title).toBe(false)
          cells.add(`${x} ${y}`)
        }
      }
    }
    const text = JSON.stringify(panels)
    for (const { name, query } of templating.list) {
      expect(text).toMatch(new RegExp(`\\$\\{?${name}\\b`))
      const metric = /label_values\((\w+), (\w+)\)/.exec(JSON.stringify(query))
      if (metric === null) continue
      expect([...METRICS.get(metric[1]!)!.labels, ...SCRAPED]).toContain(metric[2])
    }
    expect(queries.length).toBeGreaterThan(30)
  })
})

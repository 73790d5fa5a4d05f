/**
 * From counters to what a scraper reads: snapshots of several processes added up, and the Prometheus
 * text exposition format 0.0.4.
 */
import type {
  FamilySnapshot,
  Merge,
  MetricDefinition,
  MetricsSnapshot,
  SeriesSnapshot,
} from './metrics.ts'

export const EXPOSITION_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

const COMBINE: Readonly<Record<Merge, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  max: Math.max,
  min: Math.min,
}

function mergeSeries(
  definition: MetricDefinition,
  a: SeriesSnapshot,
  b: SeriesSnapshot,
): SeriesSnapshot {
  const value = COMBINE[definition.merge ?? 'sum'](a.value, b.value)
  if (a.counts === undefined) return { labels: a.labels, value }
  const counts = a.counts.map((count, i) => count + (b.counts?.[i] ?? 0))
  return { labels: a.labels, value, counts }
}

/** One snapshot out of those of every worker process. The processes run the same version. */
export function mergeSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const families = new Map<
    string,
    { definition: MetricDefinition; series: Map<string, SeriesSnapshot> }
  >()
  for (const snapshot of snapshots) {
    for (const { definition, series } of snapshot) {
      let family = families.get(definition.name)
      if (family === undefined) {
        family = { definition, series: new Map() }
        families.set(definition.name, family)
      }
      for (const one of series) {
        const key = one.labels.join('\u0000')
        const known = family.series.get(key)
        family.series.set(key, known === undefined ? one : mergeSeries(definition, known, one))
      }
    }
  }
  return [...families.values()].map(
    ({ definition, series }): FamilySnapshot => ({ definition, series: [...series.values()] }),
  )
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}

function labelText(names: readonly string[], values: readonly string[]): string {
  return names.map((name, i) => `${name}="${escapeLabel(values[i] ?? '')}"`).join(',')
}

function braces(labels: string): string {
  return labels === '' ? '' : `{${labels}}`
}

function histogramText(
  definition: MetricDefinition,
  labels: string,
  series: SeriesSnapshot,
): string {
  const { name, buckets = [] } = definition
  const counts = series.counts ?? []
  const separator = labels === '' ? '' : ','
  let out = ''
  let total = 0
  for (let i = 0; i <= buckets.length; i++) {
    total += counts[i] ?? 0
    const bound = i < buckets.length ? number(buckets[i] as number) : '+Inf'
    out += `${name}_bucket{${labels}${separator}le="${bound}"} ${total}\n`
  }
  return `${out}${name}_sum${braces(labels)} ${number(series.value)}\n${name}_count${braces(labels)} ${total}\n`
}

/** The text of a scrape. Families without a series are left out. */
export function exposition(snapshot: MetricsSnapshot): string {
  let out = ''
  for (const { definition, series } of snapshot) {
    if (series.length === 0) continue
    out += `# HELP ${definition.name} ${escapeHelp(definition.help)}\n`
    out += `# TYPE ${definition.name} ${definition.type}\n`
    for (const one of series) {
      const labels = labelText(definition.labels, one.labels)
      out +=
        definition.type === 'histogram'
          ? histogramText(definition, labels, one)
          : `${definition.name}${braces(labels)} ${number(one.value)}\n`
    }
  }
  return out
}

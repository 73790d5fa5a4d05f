/** The metrics of the catalogue as OTLP: sums and histograms since the process began, and gauges. */
import type { Millis } from '../../exchange.ts'
import type { FamilySnapshot, MetricsSnapshot, SeriesSnapshot } from '../metrics.ts'
import { list, nanos, number, text } from './values.ts'

const CUMULATIVE = 2

/** UCUM units, by the last word of a name that says one. */
function unitOf(name: string): string {
  if (/_seconds(_total)?$/.test(name)) return 's'
  if (/_bytes(_total)?$/.test(name)) return 'By'
  return '1'
}

interface Times {
  readonly start: string
  readonly now: string
}

function labelsOf({ definition }: FamilySnapshot, { labels }: SeriesSnapshot): string {
  let out = ''
  definition.labels.forEach((label, i) => {
    out += text(label, labels[i] ?? '')
  })
  return list(out)
}

function point(family: FamilySnapshot, series: SeriesSnapshot, { start, now }: Times): string {
  const begun = family.definition.type === 'gauge' ? '' : `"startTimeUnixNano":"${start}",`
  const head = `{"attributes":${labelsOf(family, series)},${begun}"timeUnixNano":"${now}"`
  if (series.counts === undefined) return `${head},"asDouble":${number(series.value)}}`
  let count = 0
  for (const one of series.counts) count += one
  const counts = series.counts.map((one) => `"${one}"`).join(',')
  const bounds = (family.definition.buckets ?? []).join(',')
  return `${head},"count":"${count}","sum":${number(series.value)},"bucketCounts":[${counts}],"explicitBounds":[${bounds}]}`
}

function dataOf(family: FamilySnapshot, times: Times): string {
  const points = family.series.map((series) => point(family, series, times)).join(',')
  switch (family.definition.type) {
    case 'counter':
      return `"sum":{"aggregationTemporality":${CUMULATIVE},"isMonotonic":true,"dataPoints":[${points}]}`
    case 'histogram':
      return `"histogram":{"aggregationTemporality":${CUMULATIVE},"dataPoints":[${points}]}`
    default:
      return `"gauge":{"dataPoints":[${points}]}`
  }
}

/**
 * All families that have a series, joined by commas, and how many data points that are.
 * @param start when counting began, milliseconds since the epoch
 */
export function metricsData(
  snapshot: MetricsSnapshot,
  start: Millis,
  now: Millis,
): { readonly json: string; readonly points: number } {
  const times = { start: nanos(start), now: nanos(now) }
  const families: string[] = []
  let points = 0
  for (const family of snapshot) {
    if (family.series.length === 0) continue
    const { name, help } = family.definition
    points += family.series.length
    families.push(
      `{"name":"${name}","description":${JSON.stringify(help)},"unit":"${unitOf(name)}",${dataOf(family, times)}}`,
    )
  }
  return { json: families.join(','), points }
}

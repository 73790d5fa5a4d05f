/** From rounds to ratios, and the table that is printed. */

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Ratios round by round, since neighbours in time share the machine's mood. */
function ratio(own, base) {
  const ratios = own.map((value, i) => value / base[i])
  return { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) }
}

/** One contender against the first of its group. */
export function summarise(contender, base) {
  const { name, error, rounds, budget } = contender
  if (error !== undefined || base.rounds.length === 0)
    return { name, error: error ?? 'no baseline' }
  const perSecond = rounds.map((round) => round.requests / round.seconds)
  const summary = {
    name,
    requestsPerSecond: Math.round(median(perSecond)),
    throughputRatio: ratio(
      perSecond,
      base.rounds.map((round) => round.requests / round.seconds),
    ),
    p50Ms: median(rounds.map((round) => round.p50)),
    p99Ms: median(rounds.map((round) => round.p99)),
    failures: rounds.reduce((sum, round) => sum + round.failures, 0),
  }
  if (rounds[0].cpuSeconds !== undefined) {
    const cpu = (round) => (round.cpuSeconds / round.requests) * 1e6
    summary.cpuMicrosPerRequest = median(rounds.map(cpu))
    summary.cpuRatio = ratio(rounds.map(cpu), base.rounds.map(cpu))
    summary.cpuRatioOfBest = Math.min(...rounds.map(cpu)) / Math.min(...base.rounds.map(cpu))
    if (budget !== undefined) {
      summary.budget = budget
      summary.withinBudget = summary.cpuRatio.median <= budget
    }
  }
  return summary
}

const two = (value) => (value === undefined ? '–' : value.toFixed(2))

function row(cells) {
  const widths = [30, 9, 17, 8, 8, 17, 10]
  return cells
    .map((cell, i) => (i === 0 ? String(cell).padEnd(widths[0]) : String(cell).padStart(widths[i])))
    .join(' ')
}

export function table(title, summaries) {
  const lines = [
    '',
    title,
    row(['', 'CPU µs', 'CPU ratio', 'of best', 'budget', 'throughput ratio', 'p99 ms']),
  ]
  for (const one of summaries) {
    if (one.error !== undefined) {
      lines.push(`${one.name.padEnd(30)} not run: ${one.error}`)
      continue
    }
    const { cpuRatio, throughputRatio, budget, withinBudget } = one
    const range = (r) => (r === undefined ? '–' : `${two(r.median)} (${two(r.low)}–${two(r.high)})`)
    lines.push(
      row([
        one.name,
        one.cpuMicrosPerRequest?.toFixed(1) ?? '–',
        range(cpuRatio),
        two(one.cpuRatioOfBest),
        budget === undefined ? '' : `${withinBudget ? '≤' : '>'} ${two(budget)}`,
        range(throughputRatio),
        one.p99Ms,
      ]) + (one.failures > 0 ? `  ${one.failures} FAILED REQUESTS` : ''),
    )
  }
  return lines.join('\n')
}

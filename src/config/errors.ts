/** What is wrong with a configuration, for people: where it is, what was expected, what to do. */

/** One problem. `path` points into the file (`routes[2].cache.ttl`); `line` and `column` begin at 1. */
export interface ConfigProblem {
  readonly path: string
  readonly message: string
  readonly hint?: string | undefined
  readonly file?: string | undefined
  readonly line?: number | undefined
  readonly column?: number | undefined
}

/**
 * Takes problems while a config is compiled, so that a user sees all of them at once. Compilers go on
 * after a report; the snapshot is refused at the end if there was any.
 */
export type Report = (path: string, message: string, hint?: string) => void

/** The configuration cannot be used; every problem found is in `problems`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly ConfigProblem[]
  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(formatProblem).join('\n'))
    this.problems = problems
  }
}

export function formatProblem(problem: ConfigProblem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== undefined)
  const where = [place.join(':'), problem.path].filter((part) => part !== '').join(' ')
  const hint = problem.hint === undefined ? '' : `\n  hint: ${problem.hint}`
  return `${where}: ${problem.message}${hint}`
}

/**
 * The known name nearest to a misspelt one, by Damerau-Levenshtein distance, or undefined when none is
 * near (more than a third of the letters differ).
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      bestDistance = distance
      best = candidate
    }
  }
  return best
}

/** Restricted Damerau-Levenshtein distance, cut off at `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = a[i - 1] === b[j - 1] ? 0 : 1
      let cost = Math.min(
        (last[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (last[j - 1] as number) + substitution,
      )
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] as number) + 1)
      }
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] as number
}

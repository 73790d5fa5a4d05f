/** The table of docs/runtimes.md: what differs between the runtimes, as the tests expect it. */
import page from '../../docs/runtimes.md?raw'
import type { Runtime } from './harness.ts'

export interface Difference {
  readonly id: string
  readonly node: string
  readonly workers: string
}

/** Rows of the table under the heading "Differences". */
export function differences(): Difference[] {
  const section = page.split('## Differences')[1]?.split('\n## ')[0] ?? ''
  const rows: Difference[] = []
  for (const line of section.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim())
    const id = /^`([a-z0-9-]+)`$/.exec(cells[1] ?? '')?.[1]
    if (id === undefined) continue
    const value = (cell: string | undefined) => (cell ?? '').replaceAll('`', '')
    rows.push({ id, node: value(cells[2]), workers: value(cells[3]) })
  }
  return rows
}

/** What is expected of one runtime; the table must have the row. */
export function expected(id: string, runtime: Runtime): string {
  const row = differences().find((difference) => difference.id === id)
  if (row === undefined) throw new Error(`docs/runtimes.md has no difference "${id}"`)
  return row[runtime]
}

/** What a verb may touch of the terminal and the process, so that verbs can be tested without either. */

export interface Terminal {
  out(text: string): void
  err(text: string): void
  readonly env: Readonly<Record<string, string | undefined>>
  /** All of the standard input. */
  readonly input?: () => Promise<string>
}

/** Exit codes: the promise to scripts. */
export const EXIT = {
  ok: 0,
  /** It could not be done: a config that does not hold, a port in use, a file that is not there. */
  failure: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** Two things that were compared are not alike. */
  differs: 3,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** A failure with a sentence for the user; anything else that is thrown is a defect of ours. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly hint: string | undefined
  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options)
    this.hint = hint
  }
}

/** The command line cannot be understood: exit code 2. */
export class UsageError extends CommandError {}

/** Rows as aligned columns, two spaces apart. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, cell.length)
    })
  }
  return rows
    .map((row) =>
      row
        .map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** How many processes have done it, as a person would say it. */
export function processes(count: number): string {
  return `${count} ${count === 1 ? 'process' : 'processes'}`
}

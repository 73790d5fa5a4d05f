/** `meridian audit verify`: whether an audit log is whole, or the first line that is not. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { brokenLink, type ChainHead, checkLine } from '../admin/audit.ts'
import { CommandError, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface AuditOptions {
  /** The hash of the last entry, as it was noted elsewhere: shows lines missing at the end. */
  readonly head?: string | undefined
  readonly json?: boolean | undefined
}

interface Report {
  readonly entries: number
  readonly first: number | null
  readonly last: number | null
  readonly head: string | null
  /** The first line that does not hold, from 1. */
  readonly line: number | null
  readonly problem: string | null
}

/** @returns 1 for a log that does not hold */
export async function auditVerify(
  file: string,
  options: AuditOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const report = await verify(file, options.head)
  const { entries, first, last, head, line, problem } = report
  if (options.json === true) terminal.out(`${JSON.stringify(report, null, 2)}\n`)
  else if (problem !== null) terminal.out(`${file}:${line}: ${problem}\n`)
  else if (entries === 0) terminal.out(`ok: ${file} is empty\n`)
  else terminal.out(`ok: ${entries} entries, ${first} to ${last}, head ${head}\n`)
  return problem === null ? EXIT.ok : EXIT.failure
}

async function verify(file: string, expected: string | undefined): Promise<Report> {
  let line = 0
  let before: ChainHead | undefined
  let first: number | null = null
  let hasHead = false
  const broken = (problem: string): Report => ({
    entries: line - 1,
    first,
    last: before?.seq ?? null,
    head: before?.hash ?? null,
    line,
    problem,
  })
  try {
    for await (const text of createInterface({ input: createReadStream(file, 'utf8') })) {
      line++
      const found = checkLine(text)
      if (typeof found === 'string') return broken(found)
      const link = brokenLink(found, before)
      if (link !== undefined) return broken(link)
      first ??= found.seq
      hasHead ||= found.hash === expected
      before = found
    }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw new CommandError(`${file} cannot be read: ${error.message}`, undefined, { cause: error })
  }
  const isShort = expected !== undefined && !hasHead
  return {
    entries: line,
    first,
    last: before?.seq ?? null,
    head: before?.hash ?? null,
    line: isShort ? line : null,
    problem: isShort ? `no entry has the hash ${expected}: the end was removed` : null,
  }
}

/** `meridian warm`: has a running gateway fetch URLs, so that they are stored before anybody asks. */
import { readFileSync } from 'node:fs'
import type { WarmResult } from '../admin/cache-view.ts'
import { type ControlOptions, callControl } from './control.ts'
import {
  CommandError,
  columns,
  EXIT,
  type ExitCode,
  type Terminal,
  UsageError,
} from './terminal.ts'

/** URLs of one call. */
const BATCH = 50

export interface WarmOptions extends ControlOptions {
  readonly file?: string | undefined
  readonly header?: readonly string[] | undefined
  readonly concurrency?: string | undefined
  readonly json?: boolean | undefined
}

/** @returns failure when a URL gave no complete answer below 400 */
export async function warm(
  urls: readonly string[],
  options: WarmOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const wanted = [...urls, ...fromFile(options.file)]
  if (wanted.length === 0) throw new UsageError('name URLs, or a file of them with --file')
  const concurrency = Number(options.concurrency ?? 4)
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 32) {
    throw new UsageError('--concurrency takes a number from 1 to 32')
  }
  const headers = (options.header ?? []).map(pairOf)
  const results: WarmResult[] = []
  for (let at = 0; at < wanted.length; at += BATCH) {
    const order = { urls: wanted.slice(at, at + BATCH), headers, concurrency }
    const answer = await callControl(options, terminal, '/cache/warm', order)
    results.push(...(answer as { results: WarmResult[] }).results)
  }
  if (options.json === true) terminal.out(`${JSON.stringify(results, null, 2)}\n`)
  else {
    const rows = results.map((one) => [String(one.status), String(one.bytes), one.url, one.cache])
    terminal.out(`${columns(rows)}\n`)
  }
  return results.every(({ complete, status }) => complete && status < 400) ? EXIT.ok : EXIT.failure
}

/** One URL a line; empty lines and lines that begin with # are left out. */
function fromFile(path: string | undefined): string[] {
  if (path === undefined) return []
  try {
    const lines = readFileSync(path, 'utf8').split('\n')
    return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  } catch (error) {
    throw new CommandError(`the file ${path} cannot be read`, undefined, { cause: error })
  }
}

function pairOf(text: string): [string, string] {
  const colon = text.indexOf(':')
  if (colon <= 0) throw new UsageError(`--header takes 'name: value'`)
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]
}

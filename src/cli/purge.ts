/** `meridian purge`: takes stored responses out of a running gateway's cache. */
import { type ControlOptions, callControl } from './control.ts'
import { EXIT, type ExitCode, processes, type Terminal, UsageError } from './terminal.ts'

export interface PurgeOptions extends ControlOptions {
  readonly prefix?: readonly string[] | undefined
  readonly host?: readonly string[] | undefined
  readonly tag?: readonly string[] | undefined
  readonly everything?: boolean | undefined
  readonly soft?: boolean | undefined
  readonly dryRun?: boolean | undefined
  readonly key?: string | undefined
  readonly json?: boolean | undefined
}

export async function purge(
  urls: readonly string[],
  options: PurgeOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const { prefix = [], host = [], tag = [], everything = false, dryRun = false } = options
  if (!everything && urls.length + prefix.length + host.length + tag.length === 0) {
    throw new UsageError(
      'say what to purge: URLs, --prefix, --host, --tag or --everything',
      'meridian purge https://www.example.com/news',
    )
  }
  const order = {
    mode: options.soft === true ? 'soft' : 'hard',
    urls,
    prefixes: prefix,
    hosts: host,
    tags: tag,
    everything,
    dryRun,
  }
  const headers = options.key === undefined ? {} : { 'idempotency-key': options.key }
  const answer = await callControl(options, terminal, '/cache/purge', order, headers)
  if (options.json === true) terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  else terminal.out(`${sentence(answer as Answer, order.mode)}\n`)
  return EXIT.ok
}

interface Answer {
  readonly id?: string
  readonly workers?: number
  readonly fleet?: 'told' | 'waiting'
  readonly matched?: number
}

function sentence({ id, workers, matched, fleet }: Answer, mode: string): string {
  if (matched !== undefined) {
    return `${matched} ${matched === 1 ? 'response' : 'responses'} in memory would be purged`
  }
  const done = mode === 'soft' ? 'marked as stale' : 'purged'
  const here = `${done} in ${processes(workers ?? 0)} (${id})`
  if (fleet === undefined) return here
  return fleet === 'told'
    ? `${here}, and the fleet was told`
    : `${here}; the rest of the fleet is told when Redis answers again`
}

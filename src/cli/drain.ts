/** `meridian drain` and `meridian enable`: a region of a running gateway out of service, and back. */
import type { ControlRegion } from '../admin/regions-view.ts'
import { type ControlOptions, callControl } from './control.ts'
import { columns, EXIT, type ExitCode, processes, type Terminal, UsageError } from './terminal.ts'

export interface DrainOptions extends ControlOptions {
  readonly for?: string | undefined
  readonly until?: string | undefined
  readonly reason?: string | undefined
  readonly force?: boolean | undefined
  readonly json?: boolean | undefined
}

interface Answer {
  readonly region: ControlRegion
  readonly workers: number
  readonly of: number
}

/** @param region all are listed when undefined */
export async function drain(
  region: string | undefined,
  options: DrainOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  if (region === undefined) return listRegions(options, terminal)
  if (options.for !== undefined && options.until !== undefined) {
    throw new UsageError('give --for or --until, not both', 'meridian drain eu-west-1 --for 30m')
  }
  const query = options.force === true ? '?force=true' : ''
  const answer = (await callControl(
    options,
    terminal,
    `/regions/${encodeURIComponent(region)}/drain${query}`,
    {
      ...(options.for === undefined ? {} : { for: options.for }),
      ...(options.until === undefined ? {} : { until: options.until }),
      ...(options.reason === undefined ? {} : { reason: options.reason }),
    },
  )) as Answer
  print(answer, options, terminal)
  return EXIT.ok
}

export async function enable(
  region: string,
  options: DrainOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const path = `/regions/${encodeURIComponent(region)}/enable`
  print((await callControl(options, terminal, path, {})) as Answer, options, terminal)
  return EXIT.ok
}

async function listRegions(options: DrainOptions, terminal: Terminal): Promise<ExitCode> {
  const { regions } = (await callControl(options, terminal, '/regions')) as {
    regions: ControlRegion[]
  }
  if (options.json === true) terminal.out(`${JSON.stringify(regions, null, 2)}\n`)
  else if (regions.length === 0) terminal.out('the config has no regions\n')
  else {
    const rows = regions.map((region) => [
      region.name,
      region.state,
      `${region.inflight} under way`,
      why(region),
    ])
    terminal.out(`${columns([['REGION', 'STATE', 'REQUESTS', ''], ...rows])}\n`)
  }
  return EXIT.ok
}

function print({ region, workers }: Answer, options: DrainOptions, terminal: Terminal): void {
  if (options.json === true) {
    terminal.out(`${JSON.stringify(region, null, 2)}\n`)
    return
  }
  const rest = region.drained ? `, ${region.inflight} requests under way${suffix(region)}` : ''
  terminal.out(`${region.name} is ${region.state} in ${processes(workers)}${rest}\n`)
}

function suffix(region: ControlRegion): string {
  const text = why(region)
  return text === '' ? '' : `, ${text}`
}

function why({ drainedBy, by, reason, until }: ControlRegion): string {
  if (drainedBy === null) return ''
  if (drainedBy === 'config') return 'by the config'
  const end = until === null ? '' : ` until ${new Date(until).toISOString()}`
  return `by ${by ?? 'an operator'}${end}${reason === null ? '' : `: ${reason}`}`
}

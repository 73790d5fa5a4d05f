/** `meridian threats`: who attacks a running gateway now. */
import type { ThreatReport } from '../telemetry/threats/threats.ts'
import { type ControlOptions, callControl } from './control.ts'
import { columns, EXIT, type ExitCode, type Terminal, UsageError } from './terminal.ts'

export interface ThreatsOptions extends ControlOptions {
  readonly limit: string
  readonly json?: boolean | undefined
}

export async function threats(options: ThreatsOptions, terminal: Terminal): Promise<ExitCode> {
  if (!/^[1-9]\d{0,2}$/.test(options.limit)) {
    throw new UsageError(`--limit ${options.limit}: a number from 1 to 999 is expected`)
  }
  const path = `/threats?limit=${options.limit}`
  const report = (await callControl(options, terminal, path)) as ThreatReport
  if (options.json === true) {
    terminal.out(`${JSON.stringify(report, null, 2)}\n`)
    return EXIT.ok
  }
  const { anomalies, attackers, watched } = report
  const unusual = anomalies.map((one) => [
    one.network,
    one.route === '' ? '-' : one.route,
    String(one.score),
    `${Math.round(one.age / 1000)} s`,
    one.why,
  ])
  const refused = attackers.map((one) => [
    one.network,
    one.error === 0 ? String(one.refused) : `${one.refused} (at most ${one.error} too many)`,
  ])
  terminal.out(
    [
      unusual.length === 0
        ? `nothing is unusual, of ${watched} pairs of network and route`
        : columns([['network', 'route', 'score', 'for', 'why'], ...unusual]),
      refused.length === 0
        ? 'nobody was refused'
        : columns([['network', 'refused, older counting less'], ...refused]),
      '',
    ].join('\n\n'),
  )
  return EXIT.ok
}

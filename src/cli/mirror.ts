/** `meridian mirror`: whether a mirror's pool answers as the one that clients use. */
import type { MirrorStatus } from '../admin/mirror-view.ts'
import { type ControlOptions, callControl } from './control.ts'
import { CommandError, columns, EXIT, type ExitCode, type Terminal } from './terminal.ts'

/** @param id only this one; all when undefined */
export async function mirrorReport(
  id: string | undefined,
  options: ControlOptions & { readonly json?: boolean | undefined },
  terminal: Terminal,
): Promise<ExitCode> {
  const { mirrors } = (await callControl(options, terminal, '/mirrors')) as {
    mirrors: MirrorStatus[]
  }
  const shown = id === undefined ? mirrors : mirrors.filter((one) => one.mirror === id)
  if (id !== undefined && shown.length === 0) {
    const known = mirrors.map((one) => `"${one.mirror}"`).join(', ')
    throw new CommandError(
      `There is no mirror "${id}": ${known === '' ? 'no route has one' : `there are ${known}`}.`,
    )
  }
  if (options.json === true) terminal.out(`${JSON.stringify(shown, null, 2)}\n`)
  else if (shown.length === 0) terminal.out('no route has a mirror\n')
  else terminal.out(`${shown.map(describe).join('\n\n')}\n`)
  return EXIT.ok
}

function describe(one: MirrorStatus): string {
  const { match, status, body, unknown, failed, dropped } = one.results
  const compared = match + status + body
  const share = compared === 0 ? '' : ` (${((match / compared) * 100).toFixed(2)} % alike)`
  const rows: string[][] = [
    ['mirror', one.mirror],
    ['pool', `${one.pool}, ${one.percent} % of clients, ${one.underWay} under way`],
    ['compared', `${compared}${share}`],
    ['differ', `${status} in status, ${body} in body`],
    ['not compared', `${failed} failed, ${unknown} too long or cut, ${dropped} left out`],
  ]
  if (one.p95Ms !== null) rows.push(['p95', `${one.p95Ms.toFixed(1)} ms`])
  for (const pair of one.statuses) {
    rows.push(['statuses', `${pair.status} became ${pair.mirrorStatus}: ${pair.requests}`])
  }
  if (one.otherStatuses > 0) rows.push(['statuses', `others: ${one.otherStatuses}`])
  for (const each of one.differences) {
    const bodies = each.what === 'body' ? `body ${each.body} became ${each.mirrorBody}` : ''
    const statuses = `${each.status} became ${each.mirrorStatus}`
    const when = new Date(each.at).toISOString()
    rows.push(['latest', `${when} ${each.method} ${each.path}: ${bodies || statuses}`])
  }
  return columns(rows)
}

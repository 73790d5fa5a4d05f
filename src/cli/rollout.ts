/** `meridian rollout`: where a running gateway's rollouts are, and orders to move or hold them. */
import type { RolloutReport } from '../admin/rollout-view.ts'
import type { RolloutCommand } from '../steering/rollout.ts'
import { type ControlOptions, callControl } from './control.ts'
import { CommandError, columns, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface RolloutOptions extends ControlOptions {
  readonly json?: boolean | undefined
}

/** @param id only this one; all when undefined */
export async function rolloutStatus(
  id: string | undefined,
  options: RolloutOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const { rollouts } = (await callControl(options, terminal, '/rollouts')) as {
    rollouts: RolloutReport[]
  }
  const shown = id === undefined ? rollouts : rollouts.filter((one) => one.rollout === id)
  if (id !== undefined && shown.length === 0) {
    const known = rollouts.map((one) => `"${one.rollout}"`).join(', ')
    throw new CommandError(
      `There is no rollout "${id}": ${known === '' ? 'no route has one' : `there are ${known}`}.`,
    )
  }
  if (options.json === true) terminal.out(`${JSON.stringify(shown, null, 2)}\n`)
  else if (shown.length === 0) terminal.out('no route has a rollout\n')
  else terminal.out(`${shown.map(describe).join('\n\n')}\n`)
  return EXIT.ok
}

export async function rolloutOrder(
  id: string,
  command: RolloutCommand,
  options: RolloutOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const order = { rollout: id, command }
  const answer = (await callControl(options, terminal, '/rollouts', order)) as {
    workers: number
    rollout: RolloutReport
  }
  const { rollout, workers } = answer
  if (options.json === true) terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  else {
    const processes = `${workers} ${workers === 1 ? 'process' : 'processes'}`
    terminal.out(`${id} is at ${rollout.percent} %, ${rollout.phase}, in ${processes}\n`)
  }
  return EXIT.ok
}

function describe(one: RolloutReport): string {
  const { steps, step, phase, elsewhere, workers } = one
  const seconds = Math.round(one.sinceMs / 1000)
  const rows = [
    ['rollout', one.rollout],
    ['pools', `from ${one.from} to ${one.to}`],
    ['share', `${one.percent} %, step ${step + 1} of ${steps.length} (${steps.join(', ')})`],
    ['phase', `${phase} for ${seconds} s: ${one.note}`],
    ['old', armText(one.old)],
    ['new', armText(one.new)],
  ]
  if (elsewhere > 0) rows.push(['elsewhere', `${elsewhere} of ${workers} processes`])
  return columns(rows)
}

function armText({ requests, errors, p95Ms }: RolloutReport['old']): string {
  const p95 = p95Ms === null ? '' : `, p95 ${p95Ms.toFixed(1)} ms`
  return `${requests} requests, ${errors} failed${p95}`
}

/** `meridian penalty`: who is shut out by a running gateway's penalty box, and letting them in again. */
import type { Penalty } from '../admin/state-view.ts'
import { parsePenaltyKey } from '../limits/penalty-box.ts'
import { type ControlOptions, callControl } from './control.ts'
import { columns, EXIT, type ExitCode, processes, type Terminal, UsageError } from './terminal.ts'

export interface PenaltyOptions extends ControlOptions {
  readonly for?: string | undefined
  readonly reason?: string | undefined
  readonly json?: boolean | undefined
}

export async function penaltyList(options: PenaltyOptions, terminal: Terminal): Promise<ExitCode> {
  const { penalties } = (await callControl(options, terminal, '/penalties')) as {
    penalties: Penalty[]
  }
  if (options.json === true) terminal.out(`${JSON.stringify(penalties, null, 2)}\n`)
  else if (penalties.length === 0) terminal.out('nobody is in the penalty box\n')
  else {
    const rows = penalties.map(({ key, secondsLeft, terms }) => [
      key,
      `${secondsLeft} s`,
      String(terms),
    ])
    terminal.out(`${columns([['CLIENT', 'LEFT', 'TERMS'], ...rows])}\n`)
  }
  return EXIT.ok
}

/** @param address of the client; of IPv6 its /64 is shut out */
export async function penaltyAdd(
  address: string,
  options: PenaltyOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  checkAddress(address)
  const answer = (await callControl(options, terminal, '/penalties', {
    address,
    ...(options.for === undefined ? {} : { for: options.for }),
    ...(options.reason === undefined ? {} : { reason: options.reason }),
  })) as { key: string; workers: number }
  if (options.json === true) terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  else {
    const span = options.for ?? '1h'
    terminal.out(`${answer.key} is shut out for ${span} in ${processes(answer.workers)}\n`)
  }
  return EXIT.ok
}

/** @param address of the client, or its key as listed */
export async function penaltyLift(
  address: string,
  options: PenaltyOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  checkAddress(address)
  const path = `/penalties/${encodeURIComponent(address)}`
  const answer = (await callControl(options, terminal, path, undefined, {}, 'DELETE')) as {
    workers: number
  }
  if (options.json === true) terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  else terminal.out(`${address} is let in again by ${processes(answer.workers)}\n`)
  return EXIT.ok
}

function checkAddress(address: string): void {
  if (parsePenaltyKey(address) !== undefined) return
  throw new UsageError(
    `"${address}" is not an IP address`,
    'an address such as 203.0.113.7, or a key as `meridian penalty list` prints it',
  )
}

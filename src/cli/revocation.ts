/** `meridian revocation`: tokens that a running gateway refuses before their time is over. */
import type { KnownRevocation } from '../admin/state-view.ts'
import { type ControlOptions, callControl } from './control.ts'
import { columns, EXIT, type ExitCode, processes, type Terminal, UsageError } from './terminal.ts'

/** What can be named on the command line; a token itself comes by the standard input. */
const KINDS = ['jti', 'sub', 'sid', 'client', 'issuer'] as const

export interface RevocationOptions extends ControlOptions {
  readonly issuer?: string | undefined
  readonly before?: string | undefined
  readonly expires?: string | undefined
  readonly json?: boolean | undefined
}

export async function revocationList(
  options: RevocationOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const { revocations } = (await callControl(options, terminal, '/revocations')) as {
    revocations: KnownRevocation[]
  }
  if (options.json === true) terminal.out(`${JSON.stringify(revocations, null, 2)}\n`)
  else if (revocations.length === 0) terminal.out('nothing is revoked\n')
  else {
    const rows = revocations.map((one) => [
      one.id,
      one.kind,
      one.value,
      one.issuer ?? '-',
      one.before === undefined ? '-' : timeOf(one.before),
      timeOf(one.expiresAt),
    ])
    const head = ['ID', 'KIND', 'VALUE', 'ISSUER', 'ISSUED BEFORE', 'UNTIL']
    terminal.out(`${columns([head, ...rows])}\n`)
  }
  return EXIT.ok
}

/**
 * @param kind  what `value` is: jti, sub, sid, client, issuer; or token
 * @param value left out for a token, which is read from the standard input: arguments show in lists of processes
 */
export async function revocationAdd(
  kind: string,
  value: string | undefined,
  options: RevocationOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const order = {
    ...(await what(kind, value, terminal)),
    ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
    ...(options.before === undefined ? {} : { before: seconds('--before', options.before) }),
    ...(options.expires === undefined ? {} : { expiresAt: seconds('--expires', options.expires) }),
  }
  const answer = (await callControl(options, terminal, '/revocations', order)) as {
    id: string
    workers: number
  }
  if (options.json === true) terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  else terminal.out(`revoked in ${processes(answer.workers)} (${answer.id})\n`)
  return EXIT.ok
}

/** @param id as listed */
export async function revocationRemove(
  id: string,
  options: RevocationOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const path = `/revocations/${encodeURIComponent(id)}`
  const answer = (await callControl(options, terminal, path, undefined, {}, 'DELETE')) as {
    workers: number
  }
  if (options.json === true) terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  else terminal.out(`${id} is taken back in ${processes(answer.workers)}\n`)
  return EXIT.ok
}

async function what(kind: string, value: string | undefined, terminal: Terminal) {
  if (kind === 'token') {
    if (value !== undefined) {
      throw new UsageError(
        'a token is read from the standard input, not from the command line',
        'meridian revocation add token < token.txt',
      )
    }
    const token = ((await terminal.input?.()) ?? '').trim()
    if (token === '') throw new UsageError('no token came on the standard input')
    return { token }
  }
  if (!KINDS.some((known) => known === kind)) {
    throw new UsageError(
      `"${kind}" cannot be revoked: ${KINDS.join(', ')} or token is expected`,
      'meridian revocation add sub alice',
    )
  }
  if (value === undefined || value === '') {
    throw new UsageError(`say which ${kind}`, `meridian revocation add ${kind} VALUE`)
  }
  return { kind, value }
}

/** Of a time as in RFC 3339, seconds since the epoch. */
function seconds(option: string, text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) {
    throw new UsageError(`${option} takes a time`, `${option} 2026-11-24T18:00:00Z`)
  }
  return Math.floor(ms / 1000)
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}

/** `meridian analytics tend`: one pass over the folder, now. */

import { type TendReport, tend, tendSettings } from '../../runtimes/node/analytics/tend.ts'
import { ConfigFile } from '../../runtimes/node/config-file.ts'
import { CommandError, columns, EXIT, type ExitCode, type Terminal } from '../terminal.ts'

export interface TendOptions {
  readonly config: string
  readonly json?: boolean | undefined
}

export async function tendFolder(options: TendOptions, terminal: Terminal): Promise<ExitCode> {
  const settings = tendSettings(await new ConfigFile(options.config, { env: terminal.env }).load())
  if (settings === undefined) {
    throw new CommandError(
      `${options.config} keeps no requests`,
      'set telemetry.analytics.dir there',
    )
  }
  const quiet = () => {}
  const report = await tend(settings, {
    info: quiet,
    warn: quiet,
    error: (message, { error, file } = {}) =>
      terminal.err(`${message}${file === undefined ? '' : ` (${file})`}: ${error}\n`),
  })
  if (report.isBusy) {
    throw new CommandError(
      `another process tends ${settings.dir}`,
      'a gateway does it by itself; or wait until it has done',
    )
  }
  if (options.json === true) terminal.out(`${JSON.stringify(report, null, 2)}\n`)
  else terminal.out(`${columns(rowsOf(report))}\n`)
  const isDone = report.failures.length === 0 && report.uploaded.failed === 0
  return isDone ? EXIT.ok : EXIT.failure
}

function rowsOf({ compacted, uploaded, removed }: TendReport): string[][] {
  return [
    ['compacted', `${compacted.records} records into ${compacted.files} files`],
    ['unreadable', `${compacted.torn + compacted.malformed} lines`],
    ['uploaded', `${uploaded.stored} files, ${uploaded.bytes} bytes; ${uploaded.found} were there`],
    ['removed', `${removed.age} files by age, ${removed.size} by size`],
  ]
}

/** `meridian explain`: what each step would decide about a request, and why. Nothing is sent. */

import type { ExplainQuery } from '../admin/view.ts'
import { parseIp } from '../http/ip.ts'
import { explanationText } from '../telemetry/explain.ts'
import { EXIT, type ExitCode, type Terminal, UsageError } from './terminal.ts'

export interface ExplainOptions {
  readonly config: string
  readonly ip?: string | undefined
  readonly header?: readonly string[] | undefined
  readonly json?: boolean | undefined
}

export async function explain(
  method: string,
  url: string,
  options: ExplainOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parseRequest(method, url, options)
  const { explainRequest } = await import('../runtimes/node/explain.ts')
  const explanation = await explainRequest(options.config, request)
  terminal.out(
    options.json === true
      ? `${JSON.stringify(explanation, null, 2)}\n`
      : `${explanationText(explanation)}\n`,
  )
  return EXIT.ok
}

/** @throws UsageError when a part of the command line is no part of a request */
export function parseRequest(method: string, url: string, options: ExplainOptions): ExplainQuery {
  if (!/^[A-Za-z][A-Za-z-]{0,31}$/.test(method)) {
    throw new UsageError(
      'METHOD is a request method, such as GET',
      'meridian explain GET https://example.com/',
    )
  }
  if (!/^(https?:\/\/[^/\s]+)?(\/\S*)?$/.test(url) || url === '') {
    throw new UsageError(
      'URL begins with http:// or https://, or is a path',
      'meridian explain GET https://example.com/',
    )
  }
  if (options.ip !== undefined && parseIp(options.ip) === undefined) {
    throw new UsageError('--ip takes an IPv4 or IPv6 address')
  }
  return {
    method: method.toUpperCase(),
    url,
    ip: options.ip,
    headers: (options.header ?? []).map(parseHeader),
  }
}

/** @throws UsageError when it is no header */
export function parseHeader(text: string): [name: string, value: string] {
  const parts = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([^\r\n\0]*)$/.exec(text)
  if (parts === null) throw new UsageError(`--header takes 'name: value'`)
  return [parts[1] as string, (parts[2] as string).trimEnd()]
}

/** `meridian adapt`: configs of others as ours. */
import { readFile, writeFile } from 'node:fs/promises'
import { loadConfig } from '../config/load.ts'
import { compileForCheck } from './compile-check.ts'
import { adaptGatewayApi } from './gateway-api/adapt.ts'
import { type AdaptProblem, type Resource, readResources } from './gateway-api/resources.ts'
import { CommandError, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface AdaptFlags {
  readonly out?: string | undefined
  readonly certificates: string
  readonly clusterDomain: string
  readonly skipUnsupported?: boolean | undefined
}

/** Kubernetes Gateway API. What has no counterpart is an error, or a warning with `--skip-unsupported`. */
export async function adaptGatewayApiFiles(
  files: readonly string[],
  flags: AdaptFlags,
  terminal: Terminal,
): Promise<ExitCode> {
  const problems: AdaptProblem[] = []
  const resources: Resource[] = []
  for (const file of files) {
    resources.push(...readResources(await textOf(file, terminal), file, problems))
  }
  const unreadable = problems.length
  const config = adaptGatewayApi(resources, {
    certificates: flags.certificates.replace(/\/+$/, ''),
    clusterDomain: flags.clusterDomain,
  })
  for (const problem of problems) terminal.err(`${problemLine(problem)}\n`)
  refuse(problems.length, unreadable, flags.skipUnsupported === true)
  if (config.routes.length === 0) {
    throw new CommandError(
      'there is no HTTPRoute that could be carried over',
      'name files with resources of kind Gateway and HTTPRoute',
    )
  }
  const text = `${JSON.stringify({ $schema: SCHEMA, ...config }, null, 2)}\n`
  // What we write must hold: a pattern or a name that is none of ours is found here, not at the start.
  await compileForCheck(await loadConfig(text, { file: flags.out ?? 'the config' }))
  if (flags.out === undefined) {
    terminal.out(text)
    return EXIT.ok
  }
  await writeFile(flags.out, text)
  terminal.out(
    `wrote ${flags.out}: ${config.routes.length} routes, ${Object.keys(config.pools).length} pools\n`,
  )
  return EXIT.ok
}

function refuse(problems: number, unreadable: number, maySkip: boolean): void {
  if (problems === 0 || (unreadable === 0 && maySkip)) return
  throw new CommandError(
    `${problems} ${problems === 1 ? 'thing' : 'things'} could not be carried over; nothing was written`,
    unreadable > 0 ? 'mend the file' : 'go on without them by --skip-unsupported, if that is safe',
  )
}

const SCHEMA = './node_modules/meridian-gateway/meridian.schema.json'

/** `routes.yaml:12: HTTPRoute shop/web: spec.rules[0].retry: has no counterpart here` */
function problemLine({ resource, path, message, line, file }: AdaptProblem): string {
  const place = line === undefined ? file : `${file}:${line}`
  return [place, resource, path, message].filter((part) => part !== '').join(': ')
}

async function textOf(file: string, terminal: Terminal): Promise<string> {
  if (file === '-' && terminal.input !== undefined) return terminal.input()
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CommandError(
      `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      undefined,
      { cause: error },
    )
  }
}

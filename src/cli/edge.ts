/** `meridian edge build`: the modules of a Worker for a config, checked and ready for `wrangler deploy`. */

import { compileForCheck } from './compile-check.ts'
import { buildEdge, type EdgeModule, readForEdge } from './edge-bundle.ts'
import { columns, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface EdgeBuildOptions {
  readonly config: string
  readonly out: string
  readonly json?: boolean | undefined
}

const WHEN: Readonly<Record<EdgeModule['when'], string>> = {
  start: 'when an isolate starts',
  request: 'with its first request',
  need: 'when something needs it',
}

export async function edgeBuild(options: EdgeBuildOptions, terminal: Terminal): Promise<ExitCode> {
  const { parts, loaded, warnings } = await readForEdge(options.config)
  const names = parts.checked.secrets.flatMap(({ ref }) => ('env' in ref ? [ref.env] : []))
  const secrets = [...new Set(names)]
  // What signs and verifies can only be compiled with its secrets.
  if (secrets.length === 0) warnings.push(...(await compileForCheck(loaded)))
  const modules = await buildEdge(parts, options.out)
  const once = [...new Set(warnings)]
  if (options.json === true) {
    const report = { out: options.out, modules, secrets, warnings: once }
    terminal.out(`${JSON.stringify(report, null, 2)}\n`)
    return EXIT.ok
  }
  for (const warning of once) terminal.err(`warning: ${warning}\n`)
  terminal.out(`${options.out}/worker.js and its modules, KiB of gzip:\n\n`)
  terminal.out(`${columns([...sizes(modules)])}\n`)
  if (secrets.length > 0) {
    terminal.out(`\nSecrets that the Worker needs: npx wrangler secret put ${secrets.join(', ')}\n`)
  }
  return EXIT.ok
}

function* sizes(modules: readonly EdgeModule[]): Iterable<string[]> {
  for (const when of ['start', 'request', 'need'] as const) {
    const part = modules.filter((module) => module.when === when && module.isCode)
    yield [`code, loaded ${WHEN[when]}`, kib(part)]
  }
  yield ['config and rules', kib(modules.filter((module) => !module.isCode))]
  yield ['everything', kib(modules)]
}

function kib(modules: readonly EdgeModule[]): string {
  const bytes = modules.reduce((sum, { gzipBytes }) => sum + gzipBytes, 0)
  return (bytes / 1024).toFixed(1).padStart(7)
}

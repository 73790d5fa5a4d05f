/** `meridian init`: writes a commented config to start from. */
import { readFile, writeFile } from 'node:fs/promises'
import { CommandError, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface InitOptions {
  readonly force?: boolean | undefined
}

const STARTER = new URL('../../examples/starter.json', import.meta.url)
/** Where a project that depends on the package finds the schema. */
const INSTALLED_SCHEMA = './node_modules/meridian-gateway/meridian.schema.json'

export async function init(
  file: string,
  options: InitOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const starter = await readFile(STARTER, 'utf8')
  const text = starter.replace('"../meridian.schema.json"', JSON.stringify(INSTALLED_SCHEMA))
  try {
    await writeFile(file, text, { flag: options.force === true ? 'w' : 'wx' })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new CommandError(
        `${file} is already there`,
        'replace it with --force, or name another file',
      )
    }
    throw new CommandError(
      `${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      undefined,
      { cause: error },
    )
  }
  terminal.out(
    `wrote ${file}\n\nnext:\n  meridian check --config ${file}\n  meridian start --config ${file}\n`,
  )
  return EXIT.ok
}

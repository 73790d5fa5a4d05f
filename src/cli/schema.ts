/** `meridian schema`: prints the JSON Schema of the config, for editors and other tools. */
import { readFile } from 'node:fs/promises'
import { EXIT, type ExitCode, type Terminal } from './terminal.ts'

export async function schema(terminal: Terminal): Promise<ExitCode> {
  terminal.out(await readFile(new URL('../../meridian.schema.json', import.meta.url), 'utf8'))
  return EXIT.ok
}

/** `meridian rules import crs`: the OWASP Core Rule Set, or any SecLang rules, to one JSON file. */

import { readFileSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ImportResult, importSeclang, type SeclangFile } from '../waf/seclang/import.ts'
import { SeclangError } from '../waf/seclang/lexer.ts'
import { CommandError, columns, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface RulesImportOptions {
  /** Folder with crs-setup.conf (or its .example) and rules/*.conf. */
  readonly from: string
  /** File to write; the standard output when not given. */
  readonly out?: string | undefined
  readonly name: string
}

export async function importCrs(
  options: RulesImportOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const files = await crsFiles(options.from)
  let result: ImportResult
  try {
    result = importSeclang({ name: options.name, files, data: readData })
  } catch (error) {
    if (!(error instanceof SeclangError)) throw error
    throw new CommandError(error.message, undefined, { cause: error })
  }
  // Data lists hold bytes, one a character; JSON is the same text whatever writes it.
  const text = `${JSON.stringify(result.ruleset, null, 2)}\n`
  if (options.out === undefined) terminal.out(text)
  else await write(options.out, text)
  terminal.err(`${summary(result, files.length, options.out)}\n`)
  return EXIT.ok
}

/** In the order in which the CRS includes them: its set-up, then its rules by name. */
async function crsFiles(folder: string): Promise<SeclangFile[]> {
  const top = await list(folder)
  const rules = top.includes('rules') ? join(folder, 'rules') : folder
  const setup = ['crs-setup.conf', 'crs-setup.conf.example'].find((name) => top.includes(name))
  const names = (await list(rules))
    .filter((name) => name.endsWith('.conf') && name !== setup)
    .sort()
  if (names.length === 0) {
    throw new CommandError(
      `there are no rules in ${folder}`,
      'give the folder of a CRS release: it holds crs-setup.conf.example and rules/',
    )
  }
  const paths = [
    ...(setup === undefined ? [] : [join(folder, setup)]),
    ...names.map((name) => join(rules, name)),
  ]
  return Promise.all(
    paths.map(async (path) => ({ name: path, text: await readFile(path, 'latin1') })),
  )
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    throw new CommandError(
      `${folder} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      undefined,
      { cause: error },
    )
  }
}

function readData(name: string, from: string): string | undefined {
  try {
    return readFileSync(join(dirname(from), name), 'latin1')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text)
  } catch (error) {
    throw new CommandError(
      `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      undefined,
      { cause: error },
    )
  }
}

function summary(
  { ruleset, ignored }: ImportResult,
  files: number,
  out: string | undefined,
): string {
  const rules = ruleset.rules.filter((rule) => !('marker' in rule)).length
  const lists = Object.keys(ruleset.lists ?? {}).length
  const lines = [
    `${rules} rules and ${lists} lists from ${files} files${out === undefined ? '' : ` -> ${out}`}`,
  ]
  if (ignored.size > 0) {
    const rows = [...ignored].map(([what, times]) => [`  ${what}`, String(times)])
    lines.push('without effect here:', columns(rows))
  }
  return lines.join('\n')
}

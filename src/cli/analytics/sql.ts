/** `meridian analytics sql` and `views`: questions in SQL, answered by DuckDB where it is installed. */

import { open } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CLOSED,
  isMissing,
  namesIn,
  OPEN,
  PARQUET,
  partitions,
} from '../../runtimes/node/analytics/layout.ts'
import { RowReader } from '../../runtimes/node/analytics/parquet.ts'
import {
  columns as aligned,
  CommandError,
  EXIT,
  type ExitCode,
  type Terminal,
} from '../terminal.ts'
import { type FolderOptions, folderOf } from './options.ts'
import { printable } from './printable.ts'
import { fromLines, fromParquet, requestsView, VIEWS, viewsScript } from './views.ts'

export interface SqlOptions extends FolderOptions {
  readonly json?: boolean | undefined
}

/** What is used of `@duckdb/node-api`. */
export interface DuckDb {
  readonly DuckDBInstance: {
    create(path: string): Promise<{ connect(): Promise<DuckDbConnection>; closeSync(): void }>
  }
}

interface DuckDbConnection {
  run(sql: string): Promise<unknown>
  runAndReadAll(sql: string): Promise<{
    columnNames(): readonly string[]
    getRowObjectsJson(): readonly Readonly<Record<string, unknown>>[]
  }>
  closeSync(): void
}

const PACKAGE = '@duckdb/node-api'

/** The package is not there unless somebody has installed it, which no type can know. */
const loadDuckDb = async (): Promise<DuckDb> => (await import(PACKAGE as string)) as DuckDb

export async function sql(
  query: string,
  options: SqlOptions,
  terminal: Terminal,
  load: () => Promise<DuckDb> = loadDuckDb,
): Promise<ExitCode> {
  const { DuckDBInstance } = await loaded(load)
  const dir = await folderOf(options)
  const { parquet, lines } = await filesOf(dir)
  const sources = [
    ...(parquet.length > 0 ? [fromParquet(parquet)] : []),
    ...(lines.length > 0 ? [fromLines(lines)] : []),
  ]
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    // Times are printed as they are in the records.
    await connection.run("SET TimeZone = 'UTC'")
    await connection.run(requestsView(sources))
    for (const view of VIEWS) await connection.run(view)
    const reader = await connection.runAndReadAll(query)
    print(reader.columnNames(), reader.getRowObjectsJson(), options.json === true, terminal)
    return EXIT.ok
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new CommandError(
      message,
      /IO Error/.test(message)
        ? 'files were compacted meanwhile: ask again'
        : `there are the table requests and the views ${viewNames().join(', ')}`,
      { cause: error },
    )
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

async function loaded(load: () => Promise<DuckDb>): Promise<DuckDb> {
  try {
    return await load()
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const isAbsent = 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
    throw new CommandError(
      isAbsent
        ? 'questions in SQL need DuckDB, which is not installed'
        : `DuckDB cannot be used: ${error.message}`,
      `npm install ${PACKAGE} beside the gateway, or duckdb -init with the output of \`meridian analytics views\``,
      { cause: error },
    )
  }
}

function viewNames(): string[] {
  return VIEWS.map((view) => /VIEW (\w+) AS/.exec(view)?.[1] ?? '')
}

/** Files that hold each record once. */
async function filesOf(dir: string): Promise<{ parquet: string[]; lines: string[] }> {
  const parquet: string[] = []
  const lines: string[] = []
  for (const { path } of await partitions(dir)) {
    const names = await namesIn(path)
    const compacted = new Set<string>()
    for (const name of names) {
      if (!name.endsWith(PARQUET)) continue
      parquet.push(join(path, name))
      for (const input of await inputsOf(join(path, name))) compacted.add(input)
    }
    for (const name of names) {
      const isLines = name.endsWith(CLOSED) || name.endsWith(OPEN)
      if (isLines && !compacted.has(name.replace(/\.open$/, ''))) lines.push(join(path, name))
    }
  }
  return { parquet, lines }
}

async function inputsOf(path: string): Promise<readonly string[]> {
  try {
    const handle = await open(path, 'r')
    try {
      return (await RowReader.open(handle)).inputs
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

function print(
  names: readonly string[],
  rows: readonly Readonly<Record<string, unknown>>[],
  asJson: boolean,
  terminal: Terminal,
): void {
  if (asJson) {
    terminal.out(`${JSON.stringify(rows, null, 2)}\n`)
    return
  }
  const cell = (value: unknown): string =>
    printable(typeof value === 'string' ? value : JSON.stringify(value))
  const body = rows.map((row) => names.map((name) => cell(row[name])))
  terminal.out(`${aligned([[...names], ...body])}\n`)
}

export function views(options: { readonly dir: string }, terminal: Terminal): ExitCode {
  terminal.out(viewsScript(options.dir))
  return EXIT.ok
}

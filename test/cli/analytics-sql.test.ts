/** `meridian analytics sql` and `views`: with DuckDB where it is installed, with advice where it is not. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type DuckDb, sql } from '../../src/cli/analytics/sql.ts'
import { compact } from '../../src/runtimes/node/analytics/compact.ts'
import {
  HOUR_MS,
  hourOf,
  partitionName,
  partitions,
} from '../../src/runtimes/node/analytics/layout.ts'
import { world } from '../harness/world.ts'
import { inProcess } from './cli.fixture.ts'

const PACKAGE = '@duckdb/node-api'
const duckdb = (await import(PACKAGE as string).catch(() => undefined)) as DuckDb | undefined

const HOUR = hourOf(Date.now())

function put(dir: string, hour: number, name: string, lines: readonly object[], tail = ''): void {
  const path = join(dir, partitionName(hour), name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join('') + tail)
}

const line = (id: string, time: number, more: object = {}) => ({
  time: new Date(time).toISOString(),
  id,
  path: '/',
  status: 200,
  outcome: 'served',
  duration_ms: 2,
  bytes_out: 10,
  ...more,
})

/** One hour in Parquet with its lines still there, one in lines, the last one cut. */
async function scene() {
  const w = world()
  const old = HOUR - 2 * HOUR_MS
  const first = [
    line('a', old, { country: 'DE', rules: ['r1', 'r2'], blocked: true, status: 403 }),
    line('b', old + 60_000, { country: 'FR' }),
  ]
  put(w.folder, old, 'h-1-a-0.ndjson', first)
  const [partition] = await partitions(w.folder)
  const report = { files: 0, records: 0, torn: 0, malformed: 0 }
  await compact(partition!, { now: Date.now() }, report)
  put(w.folder, old, 'h-1-a-0.ndjson', first)
  put(w.folder, HOUR, 'h-1-a-1.ndjson.open', [line('c', HOUR, { country: 'DE' })], '{"time":"20')
  return w.folder
}

async function ask(query: string, dir: string, load?: () => Promise<DuckDb>, json = true) {
  let out = ''
  const terminal = { out: (text: string) => (out += text), err: () => {}, env: {} }
  await sql(query, { config: '', dir, json }, terminal, load)
  return out
}

describe('meridian analytics sql', () => {
  it('says what to install when DuckDB is not there', async () => {
    const dir = await scene()
    const absent = () => import('a-package-that-nobody-has' as string)
    const failure = await ask('SELECT 1', dir, absent).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      message: expect.stringMatching(/need DuckDB, which is not installed/),
      hint: expect.stringContaining(`npm install ${PACKAGE}`),
    })
  })

  it.skipIf(duckdb === undefined)(
    'reads each record once, from Parquet and from lines',
    async () => {
      const dir = await scene()
      const rows = JSON.parse(
        await ask('SELECT id, country, rules, aborted FROM requests ORDER BY id', dir),
      )
      expect(rows).toEqual([
        { id: 'a', country: 'DE', rules: ['r1', 'r2'], aborted: false },
        { id: 'b', country: 'FR', rules: [], aborted: false },
        { id: 'c', country: 'DE', rules: [], aborted: false },
      ])
      for (const view of ['by_hour', 'errors', 'rule_matches', 'cache_by_route', 'countries']) {
        expect(JSON.parse(await ask(`SELECT * FROM ${view}`, dir)), view).toBeInstanceOf(Array)
      }
      expect(
        JSON.parse(await ask('SELECT rule, blocked FROM rule_matches ORDER BY rule', dir)),
      ).toEqual([
        { rule: 'r1', blocked: '1' },
        { rule: 'r2', blocked: '1' },
      ])
      const printed = await ask(
        'SELECT country, count(*) AS n FROM requests GROUP BY ALL ORDER BY n DESC',
        dir,
        undefined,
        false,
      )
      expect(printed).toBe('country  n\nDE       2\nFR       1\n')
      await expect(ask('SELECT * FROM request', dir)).rejects.toMatchObject({
        message: expect.stringMatching(/request does not exist/),
        hint: expect.stringContaining('by_hour'),
      })
    },
  )
})

describe('meridian analytics views', () => {
  it('prints what stands in deploy/analytics/views.sql', async () => {
    const { code, out } = await inProcess(['analytics', 'views'])
    expect(code).toBe(0)
    expect(out).toBe(
      readFileSync(new URL('../../deploy/analytics/views.sql', import.meta.url), 'utf8'),
    )
  })

  it.skipIf(duckdb === undefined)('prints a script that DuckDB takes, for any folder', async () => {
    const dir = await scene()
    const { out } = await inProcess(['analytics', 'views', '--dir', dir])
    const instance = await duckdb!.DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    await connection.run(out)
    const found = await connection.runAndReadAll('SELECT count(*)::INT AS n FROM requests')
    expect(found.getRowObjectsJson()).toEqual([{ n: 2 }])
    connection.closeSync()
    instance.closeSync()
  })
})

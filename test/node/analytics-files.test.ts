/** Compaction and upload, killed anywhere: every record is there once, by its request id. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type CompactStep, compact } from '../../src/runtimes/node/analytics/compact.ts'
import {
  HOUR_MS,
  hourOf,
  partitionName,
  partitions,
} from '../../src/runtimes/node/analytics/layout.ts'
import { ObjectStore } from '../../src/runtimes/node/analytics/object-store.ts'
import { RowReader } from '../../src/runtimes/node/analytics/parquet.ts'
import { readRows } from '../../src/runtimes/node/analytics/read.ts'
import { removeOld } from '../../src/runtimes/node/analytics/retention.ts'
import { COLUMN_NAMES, type Row } from '../../src/runtimes/node/analytics/row.ts'
import { inProcess } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { STORE_KEYS, TestStore } from '../harness/object-store.ts'
import { type Program, program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { pool, sumOf, type World, withDefaults, world } from '../harness/world.ts'

const HOUR = hourOf(Date.now())
const HOST = hostname()
  .replace(/[^A-Za-z0-9]/g, '_')
  .slice(0, 40)
/** No process has it: numbers end at 2^22 on Linux. */
const DEAD_PID = 4_194_305

function lineOf(id: string, time: number): string {
  return JSON.stringify({
    time: new Date(time).toISOString(),
    id,
    method: 'GET',
    scheme: 'https',
    host: 'shop.example',
    path: `/p/${id.length}`,
    protocol: 'HTTP/2',
    status: 200,
    outcome: 'served',
    duration_ms: 1.5,
    bytes_in: 0,
    bytes_out: 5_000_000_000,
    client: '203.0.113.0',
    asn: 4_200_000_000,
    rules: ['a', 'b'],
    rule_targets: ['ARGS:q', ''],
    blocked: false,
    user_agent: 'ünïcode 🙂',
    later_field: { of: 'another version' },
  })
}

/** Lines of finished hours, several files each; one of them torn, of a process that is gone. */
function fill(dir: string, hours: number, files: number, lines: number): string[] {
  const ids: string[] = []
  for (let h = 1; h <= hours; h++) {
    const start = HOUR - h * HOUR_MS
    for (let f = 0; f < files; f++) {
      const texts: string[] = []
      for (let l = 0; l < lines; l++) {
        const id = `${h}-${f}-${l}`
        ids.push(id)
        texts.push(`${lineOf(id, start + l)}\n`)
      }
      const isTorn = f === files - 1
      if (isTorn) texts.push('{"time":"2026-')
      const name = `${HOST}-${isTorn ? DEAD_PID : 1}-abc-${f}.ndjson${isTorn ? '.open' : ''}`
      const path = join(dir, partitionName(start), name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, texts.join(''))
    }
  }
  return ids
}

const everything = { since: 0, until: Number.POSITIVE_INFINITY }

async function rowsIn(dir: string): Promise<Row[]> {
  const rows: Row[] = []
  const report = { files: 0, torn: 0, malformed: 0 }
  for await (const row of readRows(dir, everything, COLUMN_NAMES, report)) rows.push(row)
  expect(report.malformed).toBe(0)
  return rows
}

/** Sorted; a repeated or missing one shows. */
const idsOf = (rows: readonly Row[]) => rows.map(({ id }) => id).sort()

const filesIn = (dir: string) =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => /\.\w+$/.test(name))

const step = 20

describe('compaction', () => {
  it('keeps every field of every record, whatever their kind', async () => {
    const w = world()
    fill(w.folder, 1, 2, 3)
    const before = await rowsIn(w.folder)
    const [partition] = await partitions(w.folder)
    const report = { files: 0, records: 0, torn: 0, malformed: 0 }
    const open = filesIn(w.folder).find((name) => name.endsWith('.open'))
    await compact(partition!, { now: Date.now() }, report)
    expect(report).toEqual({ files: 1, records: 3, torn: 0, malformed: 0 })
    // The file that is still open is left alone; the other one is Parquet now.
    const left = filesIn(w.folder)
    expect(left).toHaveLength(2)
    expect(left).toContain(open)
    const after = await rowsIn(w.folder)
    const byId = (a: Row, b: Row) => (a.id < b.id ? -1 : 1)
    expect(after.sort(byId)).toEqual(before.sort(byId))
    expect(after[0]).toMatchObject({
      bytes_out: 5_000_000_000,
      asn: 4_200_000_000,
      rules: ['a', 'b'],
      more: '{"later_field":{"of":"another version"}}',
    })
  })

  it.each([
    { at: 'written', times: 1 },
    { at: 'renamed', times: 1 },
    { at: 'removed', times: 1 },
    { at: 'removed', times: 2 },
  ] as { at: CompactStep; times: number }[])(
    'that ends after $at ($times) has lost and repeated nothing',
    async ({ at, times }) => {
      const w = world()
      const ids = fill(w.folder, 1, 4, 5).sort()
      const [partition] = await partitions(w.folder)
      const report = { files: 0, records: 0, torn: 0, malformed: 0 }
      let left = times
      const onStep = (step: CompactStep) => {
        if (step === at && --left === 0) throw new Error('killed')
      }
      const now = Date.now()
      await expect(compact(partition!, { now, onStep }, report)).rejects.toThrow('killed')
      expect(idsOf(await rowsIn(w.folder))).toEqual(ids)
      await compact(partition!, { now }, report)
      expect(idsOf(await rowsIn(w.folder))).toEqual(ids)
      expect(filesIn(w.folder).filter((name) => name.endsWith('.ndjson'))).toEqual([])
      expect(filesIn(w.folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
    },
  )

  it('killed with kill -9 again and again leaves every record once', async () => {
    const w = world()
    const dir = join(w.folder, 'analytics')
    const ids = fill(dir, 6, 2, 700).sort()
    const { file } = configIn(w)
    let killed = 0
    for (let round = 0; round < 4; round++) {
      const tending = tendProcess(file)
      const seen = new Set(filesIn(dir))
      await until(
        'it has begun a file',
        () => filesIn(dir).some((name) => /parquet/.test(name) && !seen.has(name)) || undefined,
      )
      await new Promise((resolve) => setTimeout(resolve, round * step))
      tending.kill('SIGKILL')
      const isKilled = (await tending.exited()) === 'SIGKILL'
      expect(idsOf(await rowsIn(dir))).toEqual(ids)
      // On a busy machine it may be done before it is hit, and leaves nothing to begin.
      if (!isKilled) break
      killed++
    }
    expect(killed).toBeGreaterThanOrEqual(1)
    // The lock of a process that was killed is no obstacle.
    const { code, out, err } = await inProcess(['analytics', 'tend', '--config', file])
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/compacted +\d+ records/)
    expect(idsOf(await rowsIn(dir))).toEqual(ids)
    expect(filesIn(dir).every((name) => name.endsWith('.parquet'))).toBe(true)
  }, 60_000)
})

describe('a gateway with worker processes', () => {
  it('has a file for each worker, and one of them tends the folder', async () => {
    const w = world()
    const origin = await w.origin()
    const dir = join(w.folder, 'analytics')
    const ids = fill(dir, 2, 2, 50)
    const config = withDefaults(
      {
        workers: 2,
        pools: { app: pool([origin]) },
        routes: [{ id: 'site', pools: ['app'] }],
        telemetry: { analytics: { dir: 'analytics' } },
      },
      w.folder,
    )
    const file = w.put('meridian.json', JSON.stringify(config))
    const gateway = program('cli/main.js', ['start', '--config', file])
    const url = await gateway.says(/listening on (http:\S+)/)
    const control = await gateway.says(/control port on (http:\S+)/)
    await until('finished hours are Parquet', () => {
      const names = filesIn(dir)
      return names.filter((name) => name.endsWith('.parquet')).length === 2 || undefined
    })
    const metrics = async () => (await fetch(`${control}/metrics`)).text()
    await until('it is counted', async () => {
      const text = await metrics()
      return (
        (sumOf(text, 'meridian_analytics_compacted_records_total') === 200 &&
          sumOf(text, 'meridian_analytics_unreadable_lines_total') === 2) ||
        undefined
      )
    })
    // New connections are handed round the workers.
    for (let i = 0; i < 8; i++) await ask(`${url}/${i}`)
    await until('both have a file', () => {
      const open = filesIn(dir).filter((name) => name.endsWith('.open'))
      return open.length === 2 || undefined
    })
    gateway.kill('SIGTERM')
    expect(await gateway.exited()).toBe(0)
    const rows = await rowsIn(dir)
    expect(rows).toHaveLength(ids.length + 8)
    expect(filesIn(dir).filter((name) => /\.(open|tmp)$/.test(name))).toEqual([])
  }, 60_000)
})

describe('retention', () => {
  it('removes by age and by size, finished files only, and says what was not uploaded', async () => {
    const w = world()
    const day = 24 * HOUR_MS
    const at = (start: number, name: string, size: number) => {
      const path = join(w.folder, partitionName(start), name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, 'x'.repeat(size))
    }
    at(HOUR - 3 * day, 'a-1-a-0.parquet', 100)
    at(HOUR - 5 * HOUR_MS, 'a-1-a-1.parquet', 100)
    at(HOUR - 4 * HOUR_MS, 'a-1-a-2.ndjson', 100)
    at(HOUR - 3 * HOUR_MS, 'a-1-a-3.parquet', 100)
    at(HOUR - 3 * HOUR_MS, 'a-1-a-4.ndjson.open', 100)
    at(HOUR, 'a-1-a-5.ndjson', 1000)
    const removed = await removeOld(w.folder, {
      now: Date.now(),
      retentionMs: 2 * day,
      maxBytes: 150,
      isUploaded: (file) => file.includes('a-1-a-0'),
    })
    expect(removed).toEqual({ age: 1, size: 2, notUploaded: 2 })
    expect(filesIn(w.folder).map((name) => name.replace(/.*\/a-1-a-/, ''))).toEqual(
      expect.arrayContaining(['3.parquet', '4.ndjson.open', '5.ndjson']),
    )
    expect(filesIn(w.folder)).toHaveLength(3)
    expect(await partitions(w.folder)).toHaveLength(2)
  })
})

function configIn(w: World, upload?: object): { file: string } {
  const file = w.put(
    'meridian.json',
    JSON.stringify({
      pools: { app: { origins: [{ url: 'http://127.0.0.1:1' }] } },
      routes: [{ pools: ['app'] }],
      telemetry: { analytics: { dir: 'analytics', ...(upload && { upload }) } },
    }),
  )
  return { file }
}

const KEYS = { STORE_ID: STORE_KEYS.id, STORE_SECRET: STORE_KEYS.secret }

function tendProcess(file: string): Program {
  return program('cli/main.js', ['analytics', 'tend', '--config', file], KEYS)
}

describe('upload', () => {
  async function scene() {
    const w = world()
    const store = await TestStore.start()
    w.onClose(() => store.close())
    const dir = join(w.folder, 'analytics')
    const ids = fill(dir, 4, 2, 400).sort()
    const { file } = configIn(w, {
      endpoint: store.endpoint,
      bucket: 'bucket',
      region: 'eu-central-1',
      prefix: 'edge/one',
      addressing: 'path',
      accessKeyId: { env: 'STORE_ID' },
      secretAccessKey: { env: 'STORE_SECRET' },
    })
    const tendNow = () => inProcess(['analytics', 'tend', '--json', '--config', file], KEYS)
    return { w, store, dir, ids, file, tendNow }
  }

  /** Ids of all records in the bucket. */
  async function idsInBucket(w: World, store: TestStore): Promise<string[]> {
    const ids: string[] = []
    for (const [key, { bytes }] of store.objects) {
      expect(key).toMatch(/^edge\/one\/dt=\d{4}-\d\d-\d\d\/hour=\d\d\/[\w-]+\.parquet$/)
      const handle: FileHandle = await open(w.put('object', bytes), 'r')
      const reader = await RowReader.open(handle)
      for await (const row of reader.rows(['id'])) ids.push(row.id)
      await handle.close()
    }
    return ids.sort()
  }

  it('killed in the middle of a body, and before the answer to a whole one, sends each record once', async () => {
    const { w, store, dir, ids, file, tendNow } = await scene()
    // First: the second file gets stuck half way.
    let isStuck = false
    store.onPiece = () => {
      isStuck = store.objects.size === 1
      return !isStuck
    }
    let tending = tendProcess(file)
    await until('a file is half sent', () => isStuck || undefined)
    tending.kill('SIGKILL')
    await tending.exited()
    expect(store.objects.size).toBe(1)
    // Then: the store has all of one more, and its answer does not arrive.
    store.onPiece = () => true
    let isSilent = false
    store.onAnswer = (method) => {
      if (method !== 'PUT') return undefined
      isSilent = true
      return new Promise(() => {})
    }
    tending = tendProcess(file)
    await until('an answer is held back', () => isSilent || undefined)
    tending.kill('SIGKILL')
    await tending.exited()
    expect(store.objects.size).toBe(2)
    // A busy store is asked again.
    let isBusy = true
    store.onAnswer = () => {
      const status = isBusy ? 503 : undefined
      isBusy = false
      return status
    }
    const { code, out, err } = await tendNow()
    expect([code, err]).toEqual([0, ''])
    expect(JSON.parse(out).uploaded).toMatchObject({ stored: 2, found: 1, failed: 0 })
    expect(store.refused).toEqual([])
    expect(await idsInBucket(w, store)).toEqual(ids)
    expect(idsOf(await rowsIn(dir))).toEqual(ids)
    // What stands in the journal is not even looked for; a torn line of it is no harm.
    const asked = store.asked.length
    expect((await tendNow()).code).toBe(0)
    expect(store.asked.length).toBe(asked)
    expect(store.asked.filter((one) => one.startsWith('PUT'))).toHaveLength(5)
    writeFileSync(join(dir, 'uploads.ndjson'), '{"file":"dt=', { flag: 'a' })
    expect((await tendNow()).code).toBe(0)
    expect(store.asked.length).toBe(asked)
  }, 60_000)

  it('does not write over what is not its own, and says why it cannot upload', async () => {
    const { store, dir, tendNow } = await scene()
    store.onAnswer = (method) => (method === 'HEAD' ? 403 : undefined)
    const refused = await tendNow()
    expect(refused.code).toBe(1)
    expect(refused.err).toMatch(/not uploaded.*answered 403 .*HEAD/)
    store.onAnswer = () => undefined
    // Somebody else's object under the name of the first file.
    const [name] = filesIn(dir)
      .filter((one) => one.endsWith('.parquet'))
      .sort()
    store.objects.set(`edge/one/${name}`, { bytes: Buffer.from('mine'), sha256: '' })
    const taken = await tendNow()
    expect(taken.err).toMatch(/another file/)
    expect(store.objects.get(`edge/one/${name}`)?.bytes.toString()).toBe('mine')
    expect(store.asked.filter((one) => one.startsWith('PUT'))).toEqual([])
  })

  it('is no faster than it may be', async () => {
    const w = world()
    const store = await TestStore.start()
    w.onClose(() => store.close())
    const bytes = Buffer.alloc(320 * 1024, 7)
    const handle = await open(w.put('large', bytes), 'r')
    w.onClose(() => handle.close())
    const slow = new ObjectStore({
      endpoint: store.endpoint,
      region: 'eu-central-1',
      bucket: 'bucket',
      addressing: 'path',
      accessKeyId: STORE_KEYS.id,
      secretAccessKey: STORE_KEYS.secret,
      bytesPerSecond: 512 * 1024,
    })
    const hashed = (name: string) => createHash(name).update(bytes).digest('hex')
    const startedAt = performance.now()
    await slow.put('k', {
      handle,
      size: bytes.length,
      sha256: hashed('sha256'),
      md5: hashed('md5'),
    })
    // The last of five pieces of 64 KiB leaves when the four before it have had their time.
    expect(performance.now() - startedAt).toBeGreaterThan(480)
    expect(store.objects.get('k')?.bytes.equals(bytes)).toBe(true)
  })

  it('another process that tends the folder is waited for, not disturbed', async () => {
    const { dir, tendNow } = await scene()
    writeFileSync(join(dir, '.lock'), JSON.stringify({ host: 'elsewhere', pid: 1, birth: null }))
    const busy = await tendNow()
    expect([busy.code, busy.err]).toEqual([1, expect.stringMatching(/another process tends/)])
    const old = new Date(Date.now() - HOUR_MS)
    utimesSync(join(dir, '.lock'), old, old)
    expect((await tendNow()).code).toBe(0)
  })
})

/** `meridian erase`: whose lines go, that no other one does, and that a gateway may write meanwhile. */
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { RowReader, RowWriter } from '../../src/runtimes/node/analytics/parquet.ts'
import { COLUMN_NAMES, parseRow, type Row } from '../../src/runtimes/node/analytics/row.ts'
import { LogFile } from '../../src/runtimes/node/log-file.ts'
import { telemetryConfig } from '../../src/telemetry/exchange.fixture.ts'
import { Mask } from '../../src/telemetry/mask.ts'
import { sipKey } from '../../src/telemetry/siphash.ts'
import { folderWith, inProcess } from './cli.fixture.ts'

const KEY = 'the key of the subjects'
const hashed = (subject: string) =>
  new Mask(telemetryConfig().mask, sipKey(new TextEncoder().encode(KEY))).subject(subject)

async function world(telemetry: object, files: Readonly<Record<string, string>> = {}) {
  const folder = await folderWith({
    'meridian.json': JSON.stringify({ routes: [{ respond: {} }], telemetry }),
    key: KEY,
    ...files,
  })
  onTestFinished(folder.remove)
  const at = (name: string) => join(folder.path, name)
  return {
    at,
    erase: (...args: string[]) => inProcess(['erase', '--config', at('meridian.json'), ...args]),
    read: (name: string) => readFileSync(at(name), 'utf8'),
  }
}

const json = (subject: string, id: number, name = 'subject') =>
  `{"time":"2026-11-24T06:53:31.042Z","id":"${id}"${subject === '' ? '' : `,"${name}":"${subject}"`}}\n`
const combined = (user: string, id: number) =>
  `203.0.113.0 - ${user} [24/Nov/2026:06:53:31 +0000] "GET /${id} HTTP/1.1" 200 5 "-" "-"\n`

const HASH = { mask: { subjectKey: { file: 'key' } } }

describe('meridian erase', () => {
  it.each([
    { name: 'hashed', telemetry: HASH, line: json, hers: hashed('alice'), other: hashed('bob') },
    {
      name: 'plain',
      telemetry: { mask: { subject: 'plain' } },
      line: json,
      hers: 'alice',
      other: 'alicea',
    },
    {
      name: 'renamed',
      telemetry: { ...HASH, access: { fields: ['time', 'id', { name: 'subject', as: 'who' }] } },
      line: (subject: string, id: number) => json(subject, id, 'who'),
      hers: hashed('alice'),
      other: hashed('bob'),
    },
    {
      name: 'combined',
      telemetry: { ...HASH, access: { format: 'combined' } },
      line: (subject: string, id: number) => combined(subject === '' ? '-' : subject, id),
      hers: hashed('alice'),
      other: hashed('bob'),
    },
  ])(
    'takes the lines of one subject out, $name, and no other',
    async ({ telemetry, line, hers, other }) => {
      const subjects = ['', hers, other, '', other, hers, hers, other]
      const text = subjects.map((subject, i) => line(subject, i)).join('')
      const left = subjects
        .flatMap((subject, i) => (subject === hers ? [] : [line(subject, i)]))
        .join('')
      const w = await world(telemetry, { 'a.log': text, 'none.log': line(other, 9) })
      writeFileSync(w.at('b.log.gz'), gzipSync(text))
      chmodSync(w.at('a.log'), 0o640)
      const before = statSync(w.at('none.log')).ino
      const files = ['a.log', 'b.log.gz', 'none.log'].map(w.at)

      const dry = await w.erase('--subject', 'alice', '--dry-run', '--json', ...files)
      expect(dry.code).toBe(0)
      expect(JSON.parse(dry.out).map((one: { erased: number }) => one.erased)).toEqual([3, 3, 0])
      expect(w.read('a.log')).toBe(text)

      const done = await w.erase('--subject', 'alice', ...files)
      expect(done).toMatchObject({ code: 0, err: '' })
      expect(done.out).toMatch(/a\.log\s+3 erased\s+5 kept/)
      expect(w.read('a.log')).toBe(left)
      expect(gunzipSync(readFileSync(w.at('b.log.gz'))).toString()).toBe(left)
      expect(statSync(w.at('a.log')).mode & 0o777).toBe(0o640)
      expect(statSync(w.at('none.log')).ino).toBe(before)

      const again = await w.erase('--hash', hers, '--json', ...files)
      expect(JSON.parse(again.out).every((one: { erased: number }) => one.erased === 0)).toBe(true)
    },
  )

  it('keeps what it cannot read, and fails to say that all is gone', async () => {
    const text = `${json(hashed('alice'), 1)}not a line\n${json('', 2)}{"cut":`
    const w = await world(HASH, { 'a.log': text })
    const done = await w.erase('--subject', 'alice', w.at('a.log'))
    expect(done.code).toBe(1)
    expect(done.err).toContain('2 lines could not be read and were kept')
    expect(w.read('a.log')).toBe(`not a line\n${json('', 2)}{"cut":`)
  })

  it('finds the configured log and its rotated files', async () => {
    const w = await world(
      { ...HASH, access: { output: { file: 'access.log' } } },
      {
        'access.log': json(hashed('alice'), 3),
        'access.log.20261101T000000Z': json(hashed('alice'), 1) + json('', 2),
        'access.log.old': json(hashed('alice'), 4),
      },
    )
    // The configured path is the gateway's own, which the test must not depend on.
    const config = JSON.parse(w.read('meridian.json'))
    config.telemetry.access.output.file = w.at('access.log')
    writeFileSync(w.at('meridian.json'), JSON.stringify(config))
    const done = await w.erase('--subject', 'alice', '--dry-run', '--json')
    expect(JSON.parse(done.out)).toMatchObject([
      { file: w.at('access.log.20261101T000000Z'), erased: 1, kept: 1 },
      { file: w.at('access.log'), erased: 1, kept: 0 },
    ])
  })

  it('finds records of analytics: lines, Parquet, and what is still being written', async () => {
    const w = await world({ ...HASH, analytics: { dir: 'analytics' } })
    const hour = join(w.at('analytics'), 'dt=2026-11-01', 'hour=06')
    mkdirSync(hour, { recursive: true })
    const lines = Array.from({ length: 9 }, (_, i) =>
      json(hashed(i % 3 === 0 ? 'alice' : 'bob'), i),
    )
    writeFileSync(join(hour, 'host-1-a-0.ndjson'), lines.join(''))
    writeFileSync(join(hour, 'host-1-a-1.ndjson.open'), lines.slice(0, 4).join(''))
    const parquet = join(hour, 'made.parquet')
    const handle = await open(parquet, 'w')
    const writer = new RowWriter(handle, ['host-1-a-9.ndjson'])
    for (const line of lines) await writer.add(parseRow(line) as Row)
    await writer.finish()
    await handle.close()

    const done = await w.erase('--subject', 'alice')
    expect(done.code).toBe(1)
    expect(done.err).toContain('2 of hers are in a file that is being written')
    expect(readFileSync(join(hour, 'host-1-a-0.ndjson'), 'utf8')).not.toContain(hashed('alice'))
    const reading = await open(parquet, 'r')
    const reader = await RowReader.open(reading)
    const left: Row[] = []
    for await (const row of reader.rows(COLUMN_NAMES)) left.push(row)
    await reading.close()
    expect(left.map(({ id }) => id)).toEqual(['1', '2', '4', '5', '7', '8'])
    expect(left.every(({ subject }) => subject === hashed('bob'))).toBe(true)
    expect(left[0]).toEqual(parseRow(lines[1] as string))
    expect(reader.inputs).toEqual(['host-1-a-9.ndjson'])

    renameSync(join(hour, 'host-1-a-1.ndjson.open'), join(hour, 'host-1-a-1.ndjson'))
    const again = await w.erase('--subject', 'alice', '--json')
    expect(again.code).toBe(0)
    expect(JSON.parse(again.out)).toMatchObject([{ erased: 2, left: 0 }])
    expect((await w.erase('--subject', 'alice', '--json')).out).toBe('[]\n')
  })

  it.each([
    { telemetry: HASH, args: [], code: 2, err: '--subject SUBJECT, or --hash HASH' },
    {
      telemetry: HASH,
      args: ['--subject', 'a', '--hash', 'b'],
      code: 2,
      err: '--subject SUBJECT, or',
    },
    {
      telemetry: HASH,
      args: ['--subject', 'a'],
      code: 1,
      err: 'telemetry.access.output is not a file',
    },
    { telemetry: {}, args: ['--subject', 'a', 'x'], code: 1, err: 'telemetry.mask.subjectKey' },
    {
      telemetry: { mask: { subject: 'mask' } },
      args: ['--subject', 'a', 'x'],
      code: 1,
      err: '"mask"',
    },
    {
      telemetry: { ...HASH, access: { format: 'logpush' } },
      args: ['--subject', 'a', 'x'],
      code: 1,
      err: '"logpush"',
    },
    {
      telemetry: { ...HASH, access: { fields: ['id'] } },
      args: ['--subject', 'a', 'x'],
      code: 1,
      err: 'telemetry.access.fields',
    },
    { telemetry: HASH, args: ['--subject', 'a', '/no/such/file'], code: 1, err: '/no/such/file' },
  ])('says why it cannot: $args with $telemetry', async ({ telemetry, args, code, err }) => {
    const w = await world(telemetry)
    const done = await w.erase(...args)
    expect(done.code).toBe(code)
    expect(done.err).toContain(err)
  })

  it('loses no line that a gateway writes meanwhile', { timeout: 20_000 }, async () => {
    const w = await world(HASH)
    const config = JSON.parse(w.read('meridian.json'))
    config.telemetry.access = { output: { file: w.at('access.log') } }
    writeFileSync(w.at('meridian.json'), JSON.stringify(config))
    const log = new LogFile({ file: w.at('access.log') }, { flushAfterMs: 5 })
    let written = 0
    const write = () => {
      for (let i = 0; i < 20; i++) {
        log.line(json(written % 3 === 0 ? hashed('alice') : '', written).trimEnd())
        written++
      }
    }
    write()
    await log.flush()
    const timer = setInterval(write, 10)
    const done = await w.erase('--subject', 'alice')
    const total = written
    clearInterval(timer)
    await log.close()
    expect(done.code).toBe(0)
    expect(total).toBeGreaterThan(500)
    const ids = w
      .read('access.log')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
    const others = ids.filter((one) => one.subject === undefined).map(({ id }) => Number(id))
    const expected = [...Array(written).keys()].filter((id) => id % 3 !== 0)
    expect(others.sort((a, b) => a - b)).toEqual(expected)
    // Hers are gone up to the moment at which the gateway took the new file.
    expect(ids.some(({ id }) => id === '0')).toBe(false)
    expect(log.dropped).toBe(0)
  })
})

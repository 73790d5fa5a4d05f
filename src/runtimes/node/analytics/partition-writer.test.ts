/** Records by the hour: which file they go to, when it is complete, and what a bad disk costs. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { PartitionWriter, type PartitionWriterOptions } from './partition-writer.ts'

const SIX = Date.UTC(2026, 10, 24, 6, 59, 59, 990)

function writerIn(dir: string, more: Partial<PartitionWriterOptions> = {}) {
  const clock = { now: SIX }
  const errors: string[] = []
  const writer = new PartitionWriter({
    dir,
    log: { info: () => {}, warn: () => {}, error: (message) => errors.push(message) },
    now: () => clock.now,
    ...more,
  })
  return { clock, errors, writer }
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'meridian-partitions-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Every file below the folder with its text. */
function contents(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort()
  const files = names.filter((name) => name.includes('.ndjson'))
  return Object.fromEntries(
    files.map((name) => [
      name.replace(/\/[^/]*-(\d+)\./, '/$1.'),
      readFileSync(join(dir, name), 'utf8'),
    ]),
  )
}

describe('PartitionWriter', () => {
  it('writes into the hour in which a record comes, and completes files', async () => {
    const dir = folder()
    const { clock, writer } = writerIn(dir, { maxFileBytes: 10 })
    writer.line('{"id":"a"}')
    clock.now += 20
    writer.line('{"id":"b"}')
    writer.line('{"id":"c"}')
    expect(Object.keys(contents(dir)).filter((name) => name.endsWith('.open'))).not.toEqual([])
    await writer.close()
    writer.line('{"id":"late"}')
    expect(contents(dir)).toEqual({
      'dt=2026-11-24/hour=06/0.ndjson': '{"id":"a"}\n',
      'dt=2026-11-24/hour=07/1.ndjson': '{"id":"b"}\n',
      'dt=2026-11-24/hour=07/2.ndjson': '{"id":"c"}\n',
    })
    expect([writer.written, writer.dropped]).toEqual([3, 1])
  })

  it('does not wait for a disk that hangs or is full: it drops and counts', async () => {
    const dir = folder()
    let isFull = false
    const hung: (() => void)[] = []
    const { writer } = writerIn(dir, {
      file: {
        slabBytes: 1024,
        slabs: 2,
        write: (_fd, _bytes, _offset, length, done) => {
          if (isFull) done(Object.assign(new Error('full'), { code: 'ENOSPC' }), 0)
          else hung.push(() => done(null, length))
        },
      },
    })
    for (let i = 0; i < 200; i++) writer.line(`{"id":"${i}"}`.padEnd(100, ' '))
    expect(writer.dropped).toBeGreaterThan(150)
    isFull = true
    for (const done of hung) done()
    await writer.close()
    expect(writer.written + writer.dropped).toBe(200)
    expect(writer.written).toBeGreaterThan(0)
  })

  it('says once that no file can be opened, and tries again', async () => {
    const dir = folder()
    writeFileSync(join(dir, 'dt=2026-11-24'), 'in the way')
    const { clock, errors, writer } = writerIn(dir)
    for (let i = 0; i < 3; i++) {
      writer.line('{}')
      clock.now += 2
    }
    expect([writer.dropped, errors.length]).toEqual([3, 1])
    rmSync(join(dir, 'dt=2026-11-24'))
    clock.now += 2000
    writer.line('{"id":"d"}')
    await writer.close()
    expect(contents(dir)).toEqual({ 'dt=2026-11-24/hour=07/0.ndjson': '{"id":"d"}\n' })
  })
})

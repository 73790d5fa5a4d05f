import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Clock } from '../../ports.ts'
import { LogFile } from './log-file.ts'
import { LogRotation, type RotationSettings, rotatedAt } from './log-rotation.ts'

const HOUR = 3_600_000
const START = Date.UTC(2026, 10, 24, 6, 30)

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meridian-rotation-'))
  file = join(folder, 'access.log')
})
afterEach(() => rmSync(folder, { recursive: true }))

function rotation(settings: Omit<RotationSettings, 'file'>) {
  let now = START
  const said: string[] = []
  let reopened = 0
  const clock: Clock = { now: () => now, monotonic: () => now, after: () => () => {} }
  const log = {
    info: (m: string) => said.push(m),
    warn: (m: string) => said.push(m),
    error: (m: string) => said.push(m),
  }
  const made = new LogRotation({ file, ...settings }, clock, log, () => {
    reopened++
  })
  return {
    tick: (to: number) => {
      now = to
      return made.tick()
    },
    said,
    reopened: () => reopened,
  }
}

const write = (text: string, at: number) => {
  writeFileSync(file, text)
  utimesSync(file, at / 1000, at / 1000)
}
const names = () => readdirSync(folder).sort()

describe('rotation', () => {
  it('begins a file at each full hour, and none for an empty one', async () => {
    write('a', START)
    const r = rotation({ rotate: HOUR })
    await r.tick(START)
    await r.tick(START + HOUR / 2 - 1)
    expect(names()).toEqual(['access.log'])
    await r.tick(START + HOUR / 2)
    expect(names()).toEqual(['access.log.20261124T070000Z'])
    expect(r.reopened()).toBe(1)
    write('', START + HOUR)
    await r.tick(START + 2 * HOUR)
    write('b', START + 2 * HOUR)
    await r.tick(START + 2 * HOUR + 1)
    expect(names()).toEqual(['access.log', 'access.log.20261124T070000Z'])
  })

  it('rotates at the start what an earlier process left of an earlier day', async () => {
    write('a', START - 26 * HOUR)
    await rotation({ rotate: 24 * HOUR }).tick(START)
    expect(names()).toEqual(['access.log.20261124T063000Z'])
  })

  it('begins a file at a size too, and never overwrites one', async () => {
    const r = rotation({ maxSize: 5 })
    write('1234', START)
    await r.tick(START)
    expect(names()).toEqual(['access.log'])
    for (const text of ['12345', '123456']) {
      write(text, START)
      await r.tick(START)
    }
    expect(names()).toEqual(['access.log.20261124T063000Z', 'access.log.20261124T063000Z-1'])
  })

  it('deletes its own rotated files when they are old, and nothing else', async () => {
    for (const name of [
      'access.log.20261101T000000Z',
      'access.log.20261101T000000Z.gz',
      'access.log.20261123T000000Z',
      'access.log.old',
      'other.log.20261101T000000Z',
      'access.log.20261101T000000Z.bak',
    ])
      writeFileSync(join(folder, name), 'x')
    write('now', START)
    const r = rotation({ rotate: 24 * HOUR, keep: 7 * 24 * HOUR })
    await r.tick(START)
    expect(names()).toEqual([
      'access.log',
      'access.log.20261101T000000Z.bak',
      'access.log.20261123T000000Z',
      'access.log.old',
      'other.log.20261101T000000Z',
    ])
    expect(r.said).toHaveLength(2)
  })

  it('says what fails, and goes on', async () => {
    const r = rotation({ rotate: HOUR, keep: HOUR })
    rmSync(folder, { recursive: true })
    await r.tick(START + HOUR)
    expect(r.said).toEqual(['the access log is not rotated'])
    folder = mkdtempSync(join(tmpdir(), 'meridian-rotation-'))
  })

  it('reads the time off a name', () => {
    expect(rotatedAt('/var/log/access.log', 'access.log.20261124T063000Z-2')).toBe(START)
    expect(rotatedAt('/var/log/access.log', 'access.log')).toBeUndefined()
    expect(rotatedAt('/var/log/access.log', 'access.logs.20261124T063000Z')).toBeUndefined()
  })
})

describe('the log writer', () => {
  it('follows its name to another file within a second, without a signal', async () => {
    const log = new LogFile({ file }, { flushAfterMs: 5 })
    log.line('before')
    await log.flush()
    renameSync(file, `${file}.1`)
    await expect
      .poll(
        async () => {
          log.line('after')
          await log.flush()
          return existsSync(file)
        },
        { timeout: 5000 },
      )
      .toBe(true)
    await log.close()
    expect(readFileSync(`${file}.1`, 'utf8')).toMatch(/^before\n/)
    expect(readFileSync(file, 'utf8')).toMatch(/^after\n/)
    const lines = readFileSync(`${file}.1`, 'utf8') + readFileSync(file, 'utf8')
    expect(lines.split('\n').length - 1).toBe(log.written)
  })
})

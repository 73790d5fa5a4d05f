import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LogFile, type WriteBytes } from './log-file.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meridian-log-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Lines with letters of one to four bytes, so that slab ends fall everywhere. */
function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${i} ${'aé€😀'.repeat(i % 7)}`)
}

function errorOf(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}

describe('the log writer', () => {
  it('writes every line once and in order, over many slabs and short writes', async () => {
    const file = join(folder, 'a.log')
    const { write } = await import('node:fs')
    const short: WriteBytes = (fd, bytes, offset, length, done) =>
      write(fd, bytes, offset, Math.min(length, 100), null, done)
    const log = new LogFile({ file }, { slabBytes: 512, slabs: 3, write: short })
    const lines = numbered(2000)
    for (const line of lines) {
      log.line(line)
      await log.flush()
    }
    for (const line of lines.slice(0, 5)) log.line(line)
    await log.close()
    expect(readFileSync(file, 'utf8')).toBe(`${[...lines, ...lines.slice(0, 5)].join('\n')}\n`)
    expect(log.dropped).toBe(0)
    expect(log.written).toBe(2005)
    expect(statSync(file).mode & 0o007).toBe(0)
  })

  it('writes without being asked after a while', async () => {
    const file = join(folder, 'a.log')
    const log = new LogFile({ file }, { flushAfterMs: 5 })
    log.line('x')
    await expect.poll(() => readFileSync(file, 'utf8')).toBe('x\n')
    await log.close()
  })

  it('drops and counts when the disk is slow; memory stays bounded, no line is torn', async () => {
    const file = join(folder, 'a.log')
    const held: (() => void)[] = []
    const { write } = await import('node:fs')
    const slow: WriteBytes = (fd, bytes, offset, length, done) => {
      held.push(() => write(fd, bytes, offset, length, null, done))
    }
    const log = new LogFile({ file }, { slabBytes: 1024, slabs: 3, write: slow })
    const lines = numbered(5000)
    for (const line of lines) log.line(line)
    expect(held).toHaveLength(1)
    expect(log.dropped).toBeGreaterThan(4000)
    const closed = log.close(10_000)
    while (log.written + log.dropped < 5000) {
      held.shift()?.()
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await closed
    const kept = readFileSync(file, 'utf8').slice(0, -1).split('\n')
    expect(kept.length + log.dropped).toBe(5000)
    const known = new Set(lines)
    expect(kept.every((line) => known.has(line))).toBe(true)
  })

  it('goes on after a full disk, tries a busy pipe again, and gives up on a closed one', async () => {
    const file = join(folder, 'a.log')
    const { write } = await import('node:fs')
    const failures = ['ENOSPC', 'EAGAIN', '', 'EPIPE']
    const faulty: WriteBytes = (fd, bytes, offset, length, done) => {
      const code = failures.shift() ?? ''
      if (code === '') write(fd, bytes, offset, length, null, done)
      else done(errorOf(code), 0)
    }
    const log = new LogFile({ file }, { write: faulty })
    for (const line of ['lost', 'kept', 'lost', 'lost']) {
      log.line(line)
      await log.flush()
    }
    expect(readFileSync(file, 'utf8')).toBe('kept\n')
    expect(log.dropped).toBe(3)
    expect(log.lastError).toBe('EPIPE')
    await log.close()
  })

  it('moves to a new file when asked to reopen, and keeps the old one when that fails', async () => {
    const file = join(folder, 'a.log')
    const log = new LogFile({ file })
    log.line('before')
    await log.flush()
    renameSync(file, `${file}.1`)
    log.reopen()
    log.line('after')
    await log.flush()
    expect(readFileSync(`${file}.1`, 'utf8')).toBe('before\n')
    expect(readFileSync(file, 'utf8')).toBe('after\n')
    renameSync(folder, `${folder}-gone`)
    log.reopen()
    log.line('still')
    await log.flush()
    renameSync(`${folder}-gone`, folder)
    expect(readFileSync(file, 'utf8')).toBe('after\nstill\n')
    expect(log.lastError).toBe('ENOENT')
    await log.close()
  })

  it('drops a line that no slab could hold, and everything after it was closed', async () => {
    const log = new LogFile({ file: join(folder, 'a.log') }, { slabBytes: 100 })
    log.line('x'.repeat(100))
    expect(log.dropped).toBe(1)
    await log.close()
    for (let i = 0; i < 100; i++) log.line('late')
    expect(readFileSync(join(folder, 'a.log'), 'utf8')).toBe('')
  })

  it('is not held up at the end by a disk that hangs', async () => {
    const log = new LogFile({ file: join(folder, 'a.log') }, { write: () => {} })
    log.line('x')
    await log.close(20)
    expect(log.written).toBe(0)
  })

  it('says why at once when the file cannot be opened', () => {
    expect(() => new LogFile({ file: join(folder, 'none', 'a.log') })).toThrow('ENOENT')
  })
})

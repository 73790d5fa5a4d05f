import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { AuditLog } from '../../admin/audit.ts'
import { auditVerify } from '../../cli/audit.ts'
import { AuditFile, type AuditHandle } from './audit-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'meridian-audit-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const quiet = { info: () => {}, warn: () => {}, error: () => {} }
const event = {
  principal: 'token',
  peer: '::1',
  action: 'region.drain',
  target: 'eu',
  outcome: 'done',
  status: 200,
} as const

let count = 0
const newPath = () => join(folder, `audit-${++count}.log`)

async function session(path: string, events: number) {
  const { file, head, cutBytes } = await AuditFile.open(path, join(folder, 'meridian.json'), quiet)
  const log = new AuditLog(Date.now, file, head)
  for (let i = 0; i < events; i++) log.record(event)
  await file.close()
  return { log, cutBytes }
}

async function verify(path: string, head?: string) {
  let out = ''
  const terminal = {
    out: (text: string) => {
      out += text
    },
    err: () => {},
    env: {},
  }
  const code = await auditVerify(path, { head }, terminal)
  return { code, out }
}

describe('the audit log on disk', () => {
  it('goes on where the last run ended, and verifies as one', async () => {
    const path = newPath()
    await session(path, 3)
    await session(path, 2)
    const { log } = await session(path, 1)
    expect(log.state.seq).toBe(6)
    expect(await verify(path)).toEqual({
      code: 0,
      out: `ok: 6 entries, 1 to 6, head ${log.state.hash}\n`,
    })
    expect((await verify(path, log.state.hash)).code).toBe(0)
    const lines = readFileSync(path, 'utf8').split('\n')
    writeFileSync(path, `${lines.slice(0, 4).join('\n')}\n`)
    expect((await verify(path)).code).toBe(0)
    expect(await verify(path, log.state.hash)).toMatchObject({
      code: 1,
      out: expect.stringMatching(/:4: no entry has the hash .* the end was removed/),
    })
  })

  it('names the first line that was changed', async () => {
    const path = newPath()
    await session(path, 4)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace('"seq":3', '"seq":3 '))
    expect(await verify(path)).toMatchObject({
      code: 1,
      out: expect.stringMatching(/:3: its hash does not fit: the line was changed\n$/),
    })
    await expect(verify(join(folder, 'none.log'))).rejects.toThrow(/cannot be read/)
  })

  it('takes a half-written last line away, and says so', async () => {
    const path = newPath()
    await session(path, 2)
    appendFileSync(path, '{"seq":3,"ti')
    const { cutBytes } = await session(path, 1)
    expect(cutBytes).toBe(12)
    expect((await verify(path)).out).toMatch(/^ok: 3 entries/)
  })

  it('is not continued when its last line was changed', async () => {
    const path = newPath()
    await session(path, 2)
    writeFileSync(path, readFileSync(path, 'utf8').replace('"seq":2,', '"seq":9,'))
    await expect(session(path, 1)).rejects.toThrow(/admin\.audit\.file: the last line of .*changed/)
    await expect(session(join(folder, 'no', 'folder.log'), 1)).rejects.toThrow(/admin\.audit\.file/)
  })

  it('loses nothing to a disk that is full for a while, and leaves no half line', async () => {
    const path = newPath()
    const real = await open(path, 'a+')
    let room = 300
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    const handle: AuditHandle = {
      write: (async (bytes: Buffer, offset: number, length: number) => {
        const fits = Math.min(room, length)
        if (fits <= 0) throw full
        room -= fits
        return real.write(bytes, offset, fits)
      }) as AuditHandle['write'],
      truncate: (length) => real.truncate(length),
      sync: () => real.sync(),
      close: () => real.close(),
    }
    const errors: string[] = []
    const log = { ...quiet, error: (message: string) => void errors.push(message) }
    const file = new AuditFile(path, handle, 0, log)
    const audit = new AuditLog(Date.now, file)
    for (let i = 0; i < 20; i++) audit.record(event)
    await file.flushed()
    expect(file.pending).toBe(20)
    expect(file.lastError).toContain('no space')
    expect(errors).toHaveLength(1)
    expect(readFileSync(path, 'utf8')).toBe('')
    room = Number.POSITIVE_INFINITY
    audit.record(event)
    await file.flushed()
    expect([file.pending, file.lost, file.lastError]).toEqual([0, 0, null])
    for (room = 0; file.lost < 3; ) audit.record(event)
    expect(file.pending).toBe(10_000)
    await file.flushed()
    room = Number.POSITIVE_INFINITY
    await file.close()
    // What was lost shows as a gap, and is not passed over in silence.
    expect((await verify(path)).out).toMatch(/^ok: 10021 entries/)
  })
})

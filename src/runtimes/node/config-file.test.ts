import { mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError } from '../../config/errors.ts'
import { type ConfigChange, ConfigFile, ConfigFileError } from './config-file.ts'

const config = (drain: string, more = '') =>
  `{"pools": {"app": {"origins": [{"url": "http://a"}]}}, "routes": [{"pools": ["app"]}], "shutdown": {"drain": "${drain}"}${more}}`
const WITH_LIST = ', "lists": {"blocked": {"type": "ip", "file": "blocked.txt"}}'
const WITH_SECRET = ', "telemetry": {"mask": {"subjectKey": {"file": "key"}}}'

let folder: string
let path: string
const stops: (() => void)[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meridian-'))
  path = join(folder, 'meridian.json')
})
afterEach(async () => {
  for (const stop of stops.splice(0)) stop()
  await rm(folder, { recursive: true, force: true })
})

/** Starts watching; `next` waits for a change, `quiet` that there is none. */
function watched(file: ConfigFile) {
  const changes: ConfigChange[] = []
  let wake = () => {}
  stops.push(
    file.watch((change) => {
      changes.push(change)
      wake()
    }),
  )
  return {
    changes,
    async next(): Promise<ConfigChange> {
      while (changes.length === 0) await new Promise<void>((done) => (wake = done))
      return changes.shift() as ConfigChange
    },
  }
}

const file = (pollMs = 50) => new ConfigFile(path, { debounceMs: 20, pollMs, env: {} })
const drainOf = (change: ConfigChange) =>
  'bundle' in change ? change.bundle.config.shutdown.drain : change.error

describe('a config file', () => {
  it('is read with the files and secrets it names', async () => {
    await writeFile(path, config('1s', WITH_LIST + WITH_SECRET))
    await writeFile(join(folder, 'blocked.txt'), '192.0.2.0/24\n')
    await writeFile(join(folder, 'key'), 'a secret\n')
    const bundle = await file().load()
    expect(bundle.path).toBe(path)
    expect(bundle.lists.get('blocked')?.values).toEqual(['192.0.2.0/24'])
    expect(bundle.secrets.get({ file: 'key' })).toBe('a secret')
    expect(bundle.hash).toMatch(/^[0-9a-f]{64}$/)
    expect((await file().load()).hash).toBe(bundle.hash)
  })

  it('that is not there, or a folder, is an error of its own', async () => {
    await expect(file().load()).rejects.toThrow(ConfigFileError)
    await expect(new ConfigFile(folder).load()).rejects.toThrow('it is a folder')
  })

  it('that is wrong is a ConfigError with the path in it', async () => {
    await writeFile(path, '{')
    const error = await file()
      .load()
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).problems[0]?.file).toBe(path)
  })
})

describe('a watched config file', () => {
  it('tells of a change, of a mistake, and of its repair', async () => {
    await writeFile(path, config('1s'))
    const watching = file()
    await watching.load()
    const { next, changes } = watched(watching)
    await writeFile(path, config('2s'))
    expect(drainOf(await next())).toBe(2000)
    await writeFile(path, config('2s').slice(0, 40))
    expect(drainOf(await next())).toBeInstanceOf(ConfigError)
    await writeFile(path, config('2s'))
    expect(drainOf(await next())).toBe(2000)
    expect(changes).toEqual([])
  })

  it('sees a file that is put in its place, and a link that is turned', async () => {
    await writeFile(join(folder, 'one'), config('1s'))
    await writeFile(join(folder, 'two'), config('2s'))
    await symlink(join(folder, 'one'), path)
    const watching = file()
    await watching.load()
    const { next } = watched(watching)
    await symlink(join(folder, 'two'), join(folder, 'link'))
    await rename(join(folder, 'link'), path)
    expect(drainOf(await next())).toBe(2000)
    await writeFile(join(folder, 'three'), config('3s'))
    await rename(join(folder, 'three'), path)
    expect(drainOf(await next())).toBe(3000)
    await unlink(path)
    expect(drainOf(await next())).toBeInstanceOf(ConfigFileError)
  })

  it('sees a change of a file it names', async () => {
    await writeFile(path, config('1s', WITH_LIST))
    await writeFile(join(folder, 'blocked.txt'), '192.0.2.0/24\n')
    const watching = file()
    await watching.load()
    const { next } = watched(watching)
    await writeFile(join(folder, 'blocked.txt'), '192.0.2.0/24\n198.51.100.0/24\n')
    const change = await next()
    expect('bundle' in change && change.bundle.lists.get('blocked')?.values).toHaveLength(2)
  })

  it('does not take half a file for a mistake while the rest is coming', async () => {
    const text = config('2s')
    await writeFile(path, config('1s'))
    const watching = new ConfigFile(path, { debounceMs: 500, pollMs: 600, env: {} })
    await watching.load()
    const { next, changes } = watched(watching)
    const began = performance.now()
    for (let end = 10; end < text.length; end += 30) {
      await writeFile(path, text.slice(0, end))
      await new Promise((done) => setTimeout(done, 10))
    }
    await writeFile(path, text)
    // On a machine that stood still the rest was not coming: half a file may be a mistake.
    const stoodStill = performance.now() - began > 400
    const seen = [await next()]
    while (stoodStill && drainOf(seen.at(-1) as ConfigChange) !== 2000) seen.push(await next())
    expect(drainOf(seen.at(-1) as ConfigChange)).toBe(2000)
    expect(changes).toEqual([])
  })

  it('is quiet when it is written anew with the same words, and after it is no longer watched', async () => {
    await writeFile(path, config('1s'))
    const watching = file()
    await watching.load()
    const changes: ConfigChange[] = []
    const stop = watching.watch((change) => changes.push(change))
    await writeFile(path, config('1s'))
    await new Promise((done) => setTimeout(done, 250))
    stop()
    await writeFile(path, config('9s'))
    await new Promise((done) => setTimeout(done, 150))
    expect(changes).toEqual([])
  })
})

/** The README's tour answers as printed, against the demo as `npm start` runs it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folderWith, meridian } from '../cli/cli.fixture.ts'
import { blocks, page, ROOT } from './pages.fixture.ts'

interface Demo {
  readonly child: ChildProcess
  readonly url: string
  readonly control: string
  readonly config: string
  readonly token: string
  readonly controlToken: string
  /** Process id of the origin in Frankfurt. */
  readonly frankfurt: number
}

async function startDemo(): Promise<Demo> {
  const main = join(ROOT, 'dist/cli/main.js')
  const child = spawn(process.execPath, [main, 'demo', '--port', '0', '--admin-port', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    err += text
  })
  await new Promise<void>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      out += text
      if (out.includes('Ctrl-C')) resolve()
    })
    child.once('exit', (code) => reject(new Error(`the demo ended with ${code}: ${err}`)))
  })
  const find = (pattern: RegExp) => pattern.exec(out)?.[1] ?? `not found: ${pattern}`
  return {
    child,
    url: find(/is running: (\S+)/),
    control: find(/Control port: +(\S+)/),
    config: find(/Config: +(\S+)/),
    token: find(/Bearer ([\w.-]{20,})/),
    controlToken: find(/its token: +(\S+)/),
    frankfurt: Number(find(/kill -9 (\d+)/)),
  }
}

/** What the tour uses of curl. */
interface Call {
  readonly url: string
  readonly headers: [string, string][]
  readonly withHead: boolean
  readonly onlyStatus: boolean
  readonly grep: RegExp | undefined
}

const wordsOf = (command: string) =>
  [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3]!,
  )

function readCommand(line: string): Call {
  const [command, filter] = line.split(' | ') as [string, string?]
  const words = wordsOf(command)
  expect(words[0]).toBe('curl')
  const pattern = filter === undefined ? undefined : /^grep -iE '(.*)'$/.exec(filter)?.[1]
  const call = { url: '', headers: [] as [string, string][], withHead: false, onlyStatus: false }
  for (let i = 1; i < words.length; i++) {
    const word = words[i]!
    if (word === '-H') {
      const [name, value] = words[++i]!.split(': ') as [string, string]
      call.headers.push([name, value])
    } else if (word === '-o') expect(words[++i]).toBe('/dev/null')
    else if (word === '-w') call.onlyStatus = words[++i]!.startsWith('%{http_code}')
    else if (word === '-i' || word === '-si') call.withHead = true
    else if (word !== '-s') call.url = word
  }
  return { ...call, grep: pattern === undefined ? undefined : new RegExp(pattern, 'i') }
}

/** As curl prints it; header names in lower case and in alphabetical order. */
async function answer(call: Call): Promise<string[]> {
  const response = await fetch(call.url, { headers: call.headers })
  const body = await response.text()
  if (call.onlyStatus) return [String(response.status)]
  if (!call.withHead) return [body]
  const head = [...response.headers].map(([name, value]) => `${name}: ${value}`)
  const lines = [`HTTP/1.1 ${response.status} ${response.statusText}`, ...head, body]
  return lines.filter((line) => call.grep === undefined || call.grep.test(line)).sort()
}

/** What differs from run to run, replaced. */
function settled(line: string): string {
  return line
    .replace(/^[A-Za-z-]+(?=: )/, (name) => name.toLowerCase())
    .replace(/\b0[0-9a-z]{25}\b/g, 'ID')
    .replace(/localhost:\d+/g, 'localhost')
    .replace(/^date: .*$/, 'date: now')
    .replace(/^age: \d+$/, 'age: N')
    .replace(/\bttl=\d+/, 'ttl=N')
    .trim()
}

function exchangesOf(text: string): { command: string; expected: string[] }[] {
  return text.split(/^\$ /m).flatMap((part) => {
    const [command, ...expected] = part.trimEnd().split('\n') as [string, ...string[]]
    return command === '' ? [] : [{ command, expected: expected.filter((line) => line !== '') }]
  })
}

const marked = (mark: string) =>
  [page('README.md'), page('docs/steering.md')]
    .flatMap(blocks)
    .filter((block) => block.mark === mark)
    .flatMap((block) => exchangesOf(block.text))

const tour = marked('tour')
const commands = marked('command')

describe('the tour', () => {
  let demo: Demo
  beforeAll(async () => {
    demo = await startDemo()
  }, 60_000)
  afterAll(async () => {
    demo.child.kill()
    await once(demo.child, 'exit')
  })

  it('has commands', () => {
    expect(tour.length).toBeGreaterThanOrEqual(8)
  })

  it.each(tour)('$command', async ({ command, expected }) => {
    const call = readCommand(
      command.replace('http://localhost:8080', demo.url).replace('$TOKEN', demo.token),
    )
    const actual = await answer(call)
    expect(actual.map(settled)).toEqual(expected.map(settled).sort())
  })

  describe('the command', () => {
    let folder: Awaited<ReturnType<typeof folderWith>>
    beforeAll(async () => {
      folder = await folderWith({})
    })
    afterAll(() => folder.remove())

    it('is shown at work', () => {
      expect(commands.length).toBeGreaterThanOrEqual(5)
    })

    it.each(commands)('$command', async ({ command, expected }) => {
      const args = wordsOf(
        command
          .replace(/^(meridian|node dist\/cli\/main\.js) /, '')
          .replace(/\/tmp\/meridian-demo-\w+\/meridian\.json/, demo.config),
      )
      if (args.includes('broken.json')) {
        const good = await readFile(join(folder.path, 'meridian.json'), 'utf8')
        await writeFile(join(folder.path, 'broken.json'), good.replace('"limits"', '"limitz"'))
      }
      const { out, err } = await meridian(args, { cwd: folder.path })
      const actual = `${out}${err}`.split('\n').filter((line) => line !== '')
      expect(actual).toEqual(expected)
    })
  })

  it('fails over without an error when a region dies', async () => {
    process.kill(demo.frankfurt, 'SIGKILL')
    const response = await fetch(demo.url, { headers: { 'x-forwarded-for': '91.10.0.1' } })
    expect(await response.json()).toMatchObject({ region: 'us-east-1' })
    const events = await fetch(`${demo.control}/events?kind=steering`, {
      headers: { authorization: `Bearer ${demo.controlToken}` },
    })
    expect(await events.json()).toMatchObject({
      events: [{ what: 'failover', detail: { from: 'eu-central-1', to: 'us-east-1' } }],
    })
  })
})

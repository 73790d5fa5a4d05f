import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { reportFailure } from '../../src/cli/failure.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { inProcess as meridian } from './cli.fixture.ts'

function terminal() {
  const said = { out: '', err: '' }
  const fake: Terminal = {
    out: (text) => {
      said.out += text
    },
    err: (text) => {
      said.err += text
    },
    env: {},
  }
  return { said, fake }
}

describe('a command line that cannot be understood', () => {
  it.each([
    { args: [], err: 'Usage: meridian' },
    { args: ['chek'], err: 'Did you mean check?' },
    { args: ['check', '--confg', 'x'], err: 'Did you mean --config?' },
    { args: ['check', '--config'], err: 'argument missing' },
    { args: ['check', 'good.json'], err: 'too many arguments' },
    { args: ['explain', 'GET'], err: "missing required argument 'url'" },
    { args: ['explain', 'G T', 'http://a/'], err: 'METHOD is a request method' },
    { args: ['explain', 'GET', 'example.com'], err: 'URL begins with http://' },
    { args: ['explain', 'GET', 'http://a/', '--ip', '1.2.3'], err: '--ip takes an IPv4 or IPv6' },
    { args: ['explain', 'GET', 'http://a/', '-H', 'no'], err: "--header takes 'name: value'" },
    { args: ['start', '--workers', 'many'], err: '--workers takes a number' },
    { args: ['start', '--workers', '0'], err: '--workers takes a number' },
    { args: ['demo', '--port', '99999'], err: '--port takes a port' },
    { args: ['geo', '1.2.3'], err: '"1.2.3" is not an IP address' },
    { args: ['geo'], err: "missing required argument 'ip'" },
    { args: ['key'], err: 'Usage: meridian key' },
    { args: ['key', 'create'], err: "missing required argument 'id'" },
    { args: ['key', 'create', 'a b'], err: 'a key id has 4 to 32 letters and digits' },
    { args: ['key', 'create', 'abcd', '--pepper', 'NONE'], err: 'NONE is not set' },
    { args: ['penalty'], err: 'Usage: meridian penalty' },
    { args: ['penalty', 'add', '1.2.3'], err: '"1.2.3" is not an IP address' },
    { args: ['penalty', 'lift', 'x'], err: 'as `meridian penalty list` prints it' },
    { args: ['revocation', 'add', 'user', 'alice'], err: '"user" cannot be revoked: jti, sub' },
    { args: ['revocation', 'add', 'sub'], err: 'say which sub' },
    { args: ['revocation', 'add', 'token', 'ey'], err: 'read from the standard input' },
    { args: ['revocation', 'add', 'token'], err: 'no token came' },
    {
      args: ['revocation', 'add', 'sub', 'a', '--before', 'noon'],
      err: '--before takes a time',
    },
    { args: ['--nonsense'], err: "unknown option '--nonsense'" },
  ])('meridian $args', async ({ args, err }) => {
    const result = await meridian(args)
    expect(result.err).toContain(err)
    expect(result.out).toBe('')
    expect(result.code).toBe(2)
  })
})

describe('help', () => {
  const verbs = [
    ...['start', 'demo', 'check', 'explain', 'geo', 'key', 'schema', 'init'],
    ...['purge', 'warm', 'cache', 'rules', 'penalty', 'revocation'],
  ]

  it('tells the verbs', async () => {
    const { code, out } = await meridian(['--help'])
    expect(code).toBe(0)
    for (const verb of verbs) expect(out).toContain(`  ${verb} `)
  })

  it.each(verbs)('of %s tells its options and gives examples', async (verb) => {
    const { code, out } = await meridian([verb, '--help'])
    expect(code).toBe(0)
    expect(out).toContain(`Usage: meridian ${verb}`)
    expect(out).toContain(`Examples:\n  $ meridian ${verb}`)
  })

  it('--version is the package’s', async () => {
    const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
    const { version } = JSON.parse(text) as { version: string }
    expect(await meridian(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' })
  })
})

describe('failures in words', () => {
  it('a port in use is named', async () => {
    const first = createServer().listen(0, '127.0.0.1')
    await new Promise((done) => first.once('listening', done))
    const { port } = first.address() as { port: number }
    const error = await new Promise<Error>((done) => {
      createServer().once('error', done).listen(port, '127.0.0.1')
    })
    first.close()
    const { said, fake } = terminal()
    expect(reportFailure(error, fake)).toBe(1)
    expect(said.err).toContain(`port ${port} on 127.0.0.1 is already in use\n  hint: `)
  })

  it('so are an address that is not ours and a port that needs a privilege', () => {
    const { said, fake } = terminal()
    const listenError = (code: string, address: string, port: number) =>
      Object.assign(new Error(`listen ${code}`), { code, address, port })
    reportFailure(listenError('EADDRNOTAVAIL', '192.0.2.1', 8080), fake)
    reportFailure(listenError('EACCES', '::', 80), fake)
    expect(said.err).toContain('cannot listen on port 8080 on 192.0.2.1: no such address')
    expect(said.err).toContain('not allowed to listen on port 80\n  hint: ')
  })

  it('anything else says its message, once', () => {
    const { said, fake } = terminal()
    expect(reportFailure(new Error('the sky fell'), fake)).toBe(1)
    expect(said.err).toBe('meridian: the sky fell\n')
  })
})

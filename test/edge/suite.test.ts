/** The behavioural suite on Node, over real sockets. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import { ConfigFile } from '../../src/runtimes/node/config-file.ts'
import { explainExchange } from '../../src/runtimes/node/explain.ts'
import { startGateway } from '../../src/runtimes/node/start.ts'
import { gatewaySuite } from '../suite/gateway-suite.ts'
import type { Ask, MakeHarness } from '../suite/harness.ts'

const QUIET = { info: () => {}, warn: () => {}, error: () => {} }

/** What a trusted proxy in front would say of the client. */
function told(ask: Ask): [string, string][] {
  const headers: [string, string][] = []
  for (const [name, value] of new Headers(ask.headers)) headers.push([name, value])
  if (ask.country !== undefined) headers.push(['x-test-country', ask.country])
  if (ask.ip !== undefined) headers.push(['x-forwarded-for', ask.ip])
  return headers
}

const makeHarness: MakeHarness = async (config) => {
  const folder = await mkdtemp(join(tmpdir(), 'meridian-suite-'))
  const path = join(folder, 'meridian.json')
  await writeFile(path, JSON.stringify(config))
  const file = new ConfigFile(path)
  const running = await startGateway(file, await file.load(), { log: QUIET })
  return {
    runtime: 'node',
    fetch: (target, ask = {}) =>
      fetch(`${running.addresses[0]}${target}`, { redirect: 'manual', ...ask, headers: told(ask) }),
    explain: async (url, ask = {}) => {
      const query = { method: 'GET', url, ip: '127.0.0.1', headers: told(ask) }
      const result = await explainExchange(running.instance, query)
      if (typeof result === 'string') throw new Error(result)
      return result
    },
    close: async () => {
      await running.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

process.env.CHALLENGE_SECRET = 'a secret of at least thirty-two bytes'
describe('the gateway on Node', () => gatewaySuite(makeHarness))

/** The behavioural suite on workerd, through the Worker's own handler. */
import { createExecutionContext, env, waitOnExecutionContext } from 'cloudflare:test'
import { describe } from 'vitest'
import managed from '../../rules/managed.json?raw'
import { createWorker } from '../../src/runtimes/workers/worker.ts'
import type { Explanation } from '../../src/telemetry/explain.ts'
import { gatewaySuite } from '../suite/gateway-suite.ts'
import type { MakeHarness } from '../suite/harness.ts'

const QUIET = { info: () => {}, warn: () => {}, error: () => {} }
const CHALLENGE_SECRET = 'a secret of at least thirty-two bytes'
const TOKEN = 'a-token-of-the-tests'

const makeHarness: MakeHarness = async (config) => {
  const worker = createWorker(
    { config: JSON.stringify(config), rulesets: { managed } },
    { log: QUIET },
  )
  // The suite is about one gateway; bindings have tests of their own.
  const { COUNTERS } = env
  const bindings = { COUNTERS, EDGE_TOKEN: TOKEN, CHALLENGE_SECRET }
  const contexts: ReturnType<typeof createExecutionContext>[] = []
  const send = (request: Request): Promise<Response> => {
    const context = createExecutionContext()
    contexts.push(context)
    return worker.fetch(request, bindings, context)
  }
  return {
    runtime: 'workers',
    fetch: (path, ask = {}) => {
      const { country, ip, ...init } = ask
      const headers = new Headers(init.headers)
      const cf = { colo: 'TST', ...(country === undefined ? {} : { country }) }
      if (ip !== undefined) headers.set('cf-connecting-ip', ip)
      const isSpoof = ip === undefined && headers.has('cf-connecting-ip')
      return send(
        new Request(`http://gateway.test${path}`, {
          redirect: 'manual',
          ...init,
          headers,
          // Without the platform's facts the request did not come through the platform.
          ...(isSpoof ? {} : { cf }),
        } as RequestInit),
      )
    },
    explain: async (url, ask = {}) => {
      const query = new URLSearchParams({ url })
      if (ask.country !== undefined) query.set('country', ask.country)
      const response = await send(
        new Request(`http://gateway.test/.meridian/explain?${query}`, {
          headers: { authorization: `Bearer ${TOKEN}` },
        }),
      )
      return (await response.json()) as Explanation
    },
    close: async () => {
      for (const context of contexts) await waitOnExecutionContext(context)
    },
  }
}

describe('the gateway on workerd', () => gatewaySuite(makeHarness))

/** The same requests meet the same rules on Node and on workerd. */
import { createExecutionContext } from 'cloudflare:test'
import { expect, inject, it } from 'vitest'
import managed from '../../rules/managed.json?raw'
import { createWorker } from '../../src/runtimes/workers/worker.ts'
import type { ParityAnswer, ParityRequest, ParitySetting } from './waf-parity.ts'

const QUIET = { info: () => {}, warn: () => {}, error: () => {} }

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

it('the default ruleset decides alike about 500 requests', async () => {
  const { config, hosts, fields, cases } = (await (
    await fetch(inject('parity'))
  ).json()) as ParitySetting
  const worker = createWorker(
    { config: JSON.stringify(config), rulesets: { managed } },
    { log: QUIET },
  )
  const ask = async (host: string, request: ParityRequest): Promise<ParityAnswer> => {
    const headers = new Headers()
    const flat = [...fields, ...request.headers]
    // workerd reads field values as UTF-8.
    for (let i = 0; i < flat.length; i += 2)
      headers.append(flat[i] as string, new TextDecoder().decode(bytesOf(flat[i + 1] as string)))
    const { method, target, body } = request
    const init = { method, headers, ...(body === '' ? {} : { body: bytesOf(body) }) }
    const sent = new Request(`http://${host}${target}`, { ...init, cf: { colo: 'TST' } } as never)
    const response = await worker.fetch(sent, {}, createExecutionContext())
    await response.arrayBuffer()
    return {
      status: response.status,
      outcome: response.headers.get('meridian-outcome') ?? '',
      rules: response.headers.get('meridian-rules') ?? '',
    }
  }

  const differences: unknown[] = []
  const blocked: Record<string, number> = {}
  const passed: Record<string, number> = {}
  for (const { request, node } of cases) {
    const here = [await ask(hosts[0], request), await ask(hosts[1], request)] as const
    if (JSON.stringify(here) !== JSON.stringify(node)) differences.push({ request, node, here })
    const count = here[0].status === 200 ? passed : blocked
    if (request.isAttack === (count === blocked)) {
      count[request.place] = (count[request.place] ?? 0) + 1
    }
  }
  expect(differences.slice(0, 5)).toEqual([])
  expect(cases).toHaveLength(500)
  // Both verdicts were there at each place, or the comparison would say little.
  for (const count of [blocked, passed]) {
    expect(Object.keys(count)).toHaveLength(8)
    for (const times of Object.values(count)) expect(times).toBeGreaterThan(8)
  }
})

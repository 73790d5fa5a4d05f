/** Step 5: the WAF's request phase: the head, then as much of the body as the rules want. */
import type { BodyPrefix, Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import type { WafBlock, WafPass } from '../waf/pass.ts'
import { challenged } from './challenge.ts'

export function inspect(x: Passage, services: Services): StepResult {
  const route = x.plan?.waf
  if (route === undefined) return undefined
  const pass = route.begin(x.subject, x)
  x.waf = pass
  const block = pass.head()
  if (block !== undefined || x.body === null) return concluded(x, pass, block, services)
  const wanted = pass.bodyBytes
  if (wanted === 0) return concluded(x, pass, pass.body(undefined), services)
  const prefix = x.body.prefix(wanted)
  if (prefix instanceof Promise) return prefix.then((late) => inspectBody(x, pass, late, services))
  return inspectBody(x, pass, prefix, services)
}

/** A compressed body is looked into; the origin gets it as it came. */
function inspectBody(
  x: Passage,
  pass: WafPass,
  prefix: BodyPrefix,
  services: Services,
): StepResult {
  const { coding } = pass
  const { decoder } = services.platform
  const decoded = coding === '' ? undefined : decoder?.decode(coding, prefix.bytes, pass.bodyBytes)
  if (decoded === undefined) return concluded(x, pass, pass.body(prefix), services)
  return decoded.then((plain) => concluded(x, pass, pass.body(prefix, plain), services))
}

function concluded(
  x: Passage,
  pass: WafPass,
  block: WafBlock | undefined,
  services: Services,
): Reply | undefined {
  x.verdicts = pass.verdicts
  return block === undefined ? undefined : blocked(x, block, services)
}

const encoder = new TextEncoder()
const NEEDS_BROWSER =
  'Open an address of this host in a browser: it solves the challenge and gets a cookie. Requests from the same network and with the same User-Agent that carry the cookie pass.'

/** The answer to a blocked request: the rule's own, or a problem that names no rule. */
export function blocked(x: Passage, block: WafBlock, services: Services): Reply {
  x.outcome = block.kind === 'challenge' ? 'challenge' : 'blocked'
  const page = block.kind === 'challenge' ? challenged(x, block, services) : undefined
  if (page !== undefined) return page
  if (block.kind === 'redirect' && block.location !== undefined) {
    const headers = ['location', block.location, 'content-length', '0', 'cache-control', 'no-store']
    return { status: block.status, headers, body: null }
  }
  if (block.body !== undefined) {
    const body = encoder.encode(block.body.text)
    return {
      status: block.status,
      headers: ['content-type', block.body.contentType, 'cache-control', 'no-store'],
      body,
    }
  }
  const { status } = block
  if (block.kind !== 'challenge') return problem('blocked', x.id, { status })
  return problem('challenge', x.id, { status, detail: NEEDS_BROWSER })
}

/** Step 5: the WAF's request phase: the head, then as much of the body as the rules want. */
import type { BodyPrefix, Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import type { Decoder } from '../ports.ts'
import type { WafBlock, WafPass } from '../waf/pass.ts'

export function inspect(x: Passage, { platform }: Services): StepResult {
  const route = x.plan?.waf
  if (route === undefined) return undefined
  const pass = route.begin(x.subject)
  x.waf = pass
  const block = pass.head()
  if (block !== undefined || x.body === null) return concluded(x, pass, block)
  const wanted = pass.bodyBytes
  if (wanted === 0) return concluded(x, pass, pass.body(undefined))
  const prefix = x.body.prefix(wanted)
  const { decoder } = platform
  if (prefix instanceof Promise) return prefix.then((late) => inspectBody(x, pass, late, decoder))
  return inspectBody(x, pass, prefix, decoder)
}

/** A compressed body is looked into; the origin gets it as it came. */
function inspectBody(
  x: Passage,
  pass: WafPass,
  prefix: BodyPrefix,
  decoder: Decoder | undefined,
): StepResult {
  const { coding } = pass
  const decoded = coding === '' ? undefined : decoder?.decode(coding, prefix.bytes, pass.bodyBytes)
  if (decoded === undefined) return concluded(x, pass, pass.body(prefix))
  return decoded.then((plain) => concluded(x, pass, pass.body(prefix, plain)))
}

function concluded(x: Passage, pass: WafPass, block: WafBlock | undefined): Reply | undefined {
  x.verdicts = pass.verdicts
  return block === undefined ? undefined : blocked(x, block)
}

const encoder = new TextEncoder()

/** The answer to a blocked request: the rule's own, or a problem that names no rule. */
export function blocked(x: Passage, block: WafBlock): Reply {
  x.outcome = block.kind === 'challenge' ? 'challenge' : 'blocked'
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
  return problem(x.outcome === 'challenge' ? 'challenge' : 'blocked', x.id, {
    status: block.status,
  })
}

/** The WAF's look at a response: its head, then its body where the config wants that. */
import { type ByteStream, HeaderList, type Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'
import { InspectedStream } from '../waf/inspected-stream.ts'
import type { WafBlock, WafPass } from '../waf/pass.ts'
import { blocked } from './inspect.ts'

/**
 * Only what an origin or the cache answered is inspected. Bodies in memory are seen at once; others pass
 * through a window, and the answer waits for the first of it.
 */
export function inspectResponse(
  x: Passage,
  reply: Reply,
  services: Services,
): Reply | Promise<Reply> {
  const { waf } = x
  if (waf === undefined || x.outcome !== 'served' || !waf.wantsResponse) return reply
  const headers = new HeaderList(reply.headers)
  const block = waf.response(reply.status, headers)
  x.verdicts = waf.verdicts
  if (block !== undefined) {
    drop(reply)
    return blocked(x, block, services)
  }
  const { body } = reply
  if (body === null || reply.tunnel !== undefined) return reply
  const window = waf.responseBody(reply.status, headers)
  if (window === undefined) return reply
  if (body instanceof Uint8Array) return concluded(x, waf, reply, window.whole(body), services)
  const stream = new InspectedStream(body, window, new LateBlock(x, waf))
  reply.body = stream
  const first = stream.begin()
  if (!(first instanceof Promise)) return concluded(x, waf, reply, first, services)
  x.onAbort = stream
  return first.then((late) => {
    x.onAbort = undefined
    return concluded(x, waf, reply, late, services)
  })
}

function concluded(
  x: Passage,
  waf: WafPass,
  reply: Reply,
  block: WafBlock | undefined,
  services: Services,
): Reply {
  x.verdicts = waf.verdicts
  return block === undefined ? reply : blocked(x, block, services)
}

/** The head is with the client already: the record says what became of the body. */
class LateBlock {
  readonly #x: Passage
  readonly #waf: WafPass

  constructor(x: Passage, waf: WafPass) {
    this.#x = x
    this.#waf = waf
  }

  cutShort(): void {
    this.#x.outcome = 'blocked'
    this.#x.verdicts = this.#waf.verdicts
  }
}

function drop({ body }: Reply): void {
  if (body !== null && !(body instanceof Uint8Array)) (body as ByteStream).cancel()
}

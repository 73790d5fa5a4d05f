/** Step 2: where the client is. Kept on the connection, since its next request is often the same client's. */
import type { StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { ForwardedClient, Passage, Peer } from '../passage.ts'

export function locate(x: Passage, services: Services): StepResult {
  const { locator } = x.snapshot
  const known = knownClient(x)
  if (known === undefined) {
    x.geo = locator.locate(x.client, x.headers, x.peer.place)
    return undefined
  }
  const { version } = services.platform.geo
  if (known.geo === undefined || known.geoVersion !== version) {
    known.geo = locator.locate(x.client, x.headers, x.peer.place)
    known.geoVersion = version
  }
  x.geo = known.geo
  return undefined
}

/** What the connection remembers of this client; nothing where a header may place it differently each time. */
function knownClient(x: Passage): Peer | ForwardedClient | undefined {
  const { peer } = x
  if (x.client === peer.client) return peer
  const { forwarded } = peer
  if (forwarded?.client !== x.client || x.snapshot.locator.readsHeaders) return undefined
  return forwarded
}

/** Step 2: where the client is. Kept on the connection, since most connections are one client's. */
import type { StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'

export function locate(x: Passage, services: Services): StepResult {
  const { locator } = x.snapshot
  const { peer } = x
  if (x.client !== peer.client) {
    x.geo = locator.locate(x.client, x.headers, peer.place)
    return undefined
  }
  const { version } = services.platform.geo
  if (peer.geo === undefined || peer.geoVersion !== version) {
    peer.geo = locator.locate(x.client, x.headers, peer.place)
    peer.geoVersion = version
  }
  x.geo = peer.geo
  return undefined
}

/** Step 2: where the client is. Kept on the connection, since most connections are one client's. */
import type { StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'

export function locate(x: Passage, services: Services): StepResult {
  const { geo } = services.platform
  const { peer } = x
  if (x.client !== peer.client) {
    x.geo = geo.lookup(x.client.ip)
    return undefined
  }
  if (peer.geo === undefined || peer.geoVersion !== geo.version) {
    peer.geo = geo.lookup(x.client.ip)
    peer.geoVersion = geo.version
  }
  x.geo = peer.geo
  return undefined
}

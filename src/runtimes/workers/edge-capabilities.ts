/** What Workers can do towards origins. */
import type { Capabilities } from '../web/capabilities.ts'

export const WORKERS_CAPABILITIES: Capabilities = {
  platform: 'Cloudflare Workers',
  addresses: false,
  files: false,
  background: false,
}

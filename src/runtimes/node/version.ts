/** The version of this package, as published. */
import { createRequire } from 'node:module'

const manifest: unknown = createRequire(import.meta.url)('../../../package.json')

export const VERSION: string =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown'

/** Protected resource metadata (RFC 9728): tells clients where to get tokens for a resource. */
import type { IamConfig } from '../config/sections/iam.ts'
import { utf8 } from './encoding.ts'

const WELL_KNOWN = '/.well-known/oauth-protected-resource'

export class ResourceMetadata {
  /** Host of the public origin, lower case, without a port: no other host has these documents. */
  readonly host: string
  readonly #documents = new Map<string, Uint8Array>()
  /** Longest path first, so that the nearest resource is named. */
  readonly #resources: readonly { readonly path: string; readonly url: string }[]

  constructor(config: IamConfig, origin: string, dpopAlgorithms: readonly string[] | undefined) {
    this.host = origin
      .slice(origin.indexOf('//') + 2)
      .replace(/:\d+$/, '')
      .toLowerCase()
    const resources: { path: string; url: string }[] = []
    for (const entry of config.metadata) {
      const suffix = entry.path === '/' ? '' : entry.path
      const servers =
        entry.authorizationServers ??
        config.issuers.map(({ issuer }) => issuer).filter((url) => url.startsWith('https://'))
      const document = {
        resource: origin + suffix,
        authorization_servers: servers,
        ...(entry.scopes !== undefined && { scopes_supported: entry.scopes }),
        bearer_methods_supported: ['header'],
        ...(dpopAlgorithms !== undefined && {
          dpop_signing_alg_values_supported: dpopAlgorithms,
        }),
        ...(entry.name !== undefined && { resource_name: entry.name }),
        ...(entry.documentation !== undefined && { resource_documentation: entry.documentation }),
      }
      this.#documents.set(WELL_KNOWN + suffix, utf8(JSON.stringify(document)))
      resources.push({ path: entry.path, url: origin + WELL_KNOWN + suffix })
    }
    this.#resources = resources.sort((a, b) => b.path.length - a.path.length)
  }

  /** The document at a request's path, as JSON. */
  document(path: string): Uint8Array | undefined {
    return path.startsWith(WELL_KNOWN) ? this.#documents.get(path) : undefined
  }

  /** The address of the metadata for what lives at or below `path`. */
  urlFor(path: string): string | undefined {
    return this.#resources.find(
      (resource) =>
        resource.path === '/' || path === resource.path || path.startsWith(`${resource.path}/`),
    )?.url
  }
}

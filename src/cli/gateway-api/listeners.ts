/** Gateways: where we listen, with which certificates, and which routes may attach. */
import type { Fields, Resource } from './resources.ts'

export interface Listener {
  /** `NAMESPACE/NAME` of its Gateway. */
  readonly gateway: string
  readonly name: string
  /** `*` for every name. */
  readonly hostname: string
  readonly port: number
  readonly isSecure: boolean
  /** `NAMESPACE/NAME` of Secrets. */
  readonly certificates: readonly string[]
  admits(route: Resource): boolean
}

export function listenersOf(gateway: Resource): Listener[] {
  const { spec } = gateway
  spec.expect('gatewayClassName', 'listeners', 'addresses', 'infrastructure')
  return spec.list('listeners').flatMap((fields) => listenerOf(fields, gateway) ?? [])
}

function listenerOf(fields: Fields, gateway: Resource): Listener | undefined {
  fields.expect('name', 'hostname', 'port', 'protocol', 'tls', 'allowedRoutes')
  const port = fields.number('port')
  const protocol = fields.text('protocol')
  if (port === undefined || protocol === undefined) {
    fields.report(undefined, 'needs a port and a protocol')
    return undefined
  }
  if (protocol !== 'HTTP' && protocol !== 'HTTPS') {
    fields.report('protocol', `${protocol} has no counterpart here: only HTTP and HTTPS do`)
    return undefined
  }
  return {
    gateway: `${gateway.namespace}/${gateway.name}`,
    name: fields.text('name') ?? '',
    hostname: fields.text('hostname')?.toLowerCase() ?? '*',
    port,
    isSecure: protocol === 'HTTPS',
    certificates: certificatesOf(fields.fields('tls'), gateway),
    admits: admission(fields.fields('allowedRoutes'), gateway),
  }
}

function certificatesOf(tls: Fields | undefined, gateway: Resource): string[] {
  if (tls === undefined) return []
  tls.expect('mode', 'certificateRefs')
  if ((tls.text('mode') ?? 'Terminate') !== 'Terminate') {
    tls.report('mode', 'TLS is always terminated here')
  }
  return tls.list('certificateRefs').map((reference) => {
    reference.expect('group', 'kind', 'name', 'namespace')
    return `${reference.text('namespace') ?? gateway.namespace}/${reference.text('name') ?? ''}`
  })
}

function admission(allowed: Fields | undefined, gateway: Resource): (route: Resource) => boolean {
  allowed?.expect('namespaces', 'kinds')
  const namespaces = allowed?.fields('namespaces')
  const from = namespaces?.text('from') ?? 'Same'
  if (from === 'All') return () => true
  if (from === 'None') return () => false
  if (from === 'Selector') {
    namespaces?.report('selector', 'labels of namespaces are not known here; all routes are let in')
    return () => true
  }
  return (route) => route.namespace === gateway.namespace
}

/** `listen`: one address for each port, with the certificates of all its listeners. */
export function listenSection(listeners: readonly Listener[], folder: string): unknown {
  if (listeners.length === 0) return undefined
  const ports = new Map<number, Listener[]>()
  for (const listener of listeners) {
    ports.set(listener.port, [...(ports.get(listener.port) ?? []), listener])
  }
  const addresses = [...ports].map(([port, mine]) => {
    if (!mine.some((listener) => listener.isSecure)) return { address: '*', port }
    const names = new Map<string, Set<string>>()
    for (const { certificates, hostname } of mine) {
      for (const one of certificates) names.set(one, (names.get(one) ?? new Set()).add(hostname))
    }
    const certificates = [...names].map(([secret, hosts]) => ({
      cert: `${folder}/${secret}/tls.crt`,
      key: `${folder}/${secret}/tls.key`,
      ...(hosts.has('*') ? {} : { serverNames: [...hosts] }),
    }))
    return { address: '*', port, protocol: 'https', tls: { certificates } }
  })
  return { addresses }
}

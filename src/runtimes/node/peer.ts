/** The direct peer of a connection, as the gateway wants it. */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { IpAddress } from '../../exchange.ts'
import type { Peer } from '../../gateway.ts'
import { parseIp } from '../../http/ip.ts'
import { tlsInfoOf } from './tls.ts'

/** An address learnt from a PROXY protocol header replaces the socket's own. */
const PROXIED_PEER = Symbol('proxied-peer')

export interface ProxiedSocket {
  [PROXIED_PEER]?: { readonly ip: IpAddress; readonly port: number }
}

export function setProxiedPeer(
  socket: Socket,
  source: { readonly ip: IpAddress; readonly port: number },
): void {
  ;(socket as Socket & ProxiedSocket)[PROXIED_PEER] = source
}

export function peerOf(socket: (Socket | TLSSocket) & ProxiedSocket): Peer {
  const proxied = socket[PROXIED_PEER] ?? parentOf(socket)?.[PROXIED_PEER]
  const address = socket.remoteAddress
  return {
    ip: proxied?.ip ?? (address === undefined ? undefined : parseIp(address)),
    port: proxied?.port ?? socket.remotePort ?? 0,
    tls: isTls(socket) ? tlsInfoOf(socket) : null,
  }
}

function isTls(socket: Socket | TLSSocket): socket is TLSSocket {
  return (socket as TLSSocket).encrypted === true
}

/** The plain socket under a TLS one, which is where the PROXY header was read. */
function parentOf(socket: Socket): ProxiedSocket | undefined {
  return (socket as Socket & { _parent?: ProxiedSocket })._parent
}

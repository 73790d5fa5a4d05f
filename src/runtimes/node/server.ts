/**
 * The listening sockets: one HTTP/1.1 and one HTTP/2 front behind every address, TLS in front of them where
 * the config says so, and the PROXY protocol in front of that from listed peers.
 */
import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { ConfigError } from '../../config/errors.ts'
import type { ListenAddressConfig, ListenConfig } from '../../config/sections/listen.ts'
import type { Gateway } from '../../gateway.ts'
import { CidrSet } from '../../http/cidr.ts'
import { parseIp } from '../../http/ip.ts'
import type { Logger } from '../../ports.ts'
import { Http1Front } from './http1.ts'
import { Http2Front } from './http2.ts'
import { takeInherited } from './inherited.ts'
import { setProxiedPeer } from './peer.ts'
import { readProxyHeader } from './proxy-protocol.ts'
import { Certificates } from './tls.ts'

const CERTIFICATE_CHECK_MS = 10_000

interface Listener {
  readonly config: ListenAddressConfig
  server: net.Server
  readonly certificates: Certificates | undefined
  /** The socket is a service manager's and listens already. */
  isInherited: boolean
}

export class NodeServer {
  readonly #http1: Http1Front
  readonly #http2: Http2Front
  readonly #listen: ListenConfig
  readonly #listeners: Listener[] = []
  readonly #sockets = new Set<Socket>()
  readonly #log: Logger

  constructor(gateway: Gateway, listen: ListenConfig, baseDir: string, log: Logger) {
    this.#listen = listen
    this.#log = log
    this.#http1 = new Http1Front(gateway, listen)
    this.#http2 = new Http2Front(gateway, listen)
    listen.addresses.forEach((config, index) => {
      this.#listeners.push(this.#listener(config, `listen.addresses[${index}]`, baseDir, log))
    })
  }

  #listener(config: ListenAddressConfig, path: string, baseDir: string, log: Logger): Listener {
    const track = (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    }
    let certificates: Certificates | undefined
    let accept: (socket: Socket) => void
    if (config.protocol === 'https') {
      if (config.tls === undefined) {
        throw new ConfigError([{ path: `${path}.tls`, message: 'https needs certificates' }])
      }
      certificates = new Certificates(config.tls, baseDir, path, log)
      certificates.watch(CERTIFICATE_CHECK_MS)
      const options = certificates.options(config.http2)
      const secure = tls.createServer(
        { ...options, handshakeTimeout: this.#listen.timeouts.header },
        (socket) => {
          if (socket.alpnProtocol === 'h2') this.#http2.server.emit('connection', socket)
          else this.#http1.server.emit('connection', socket)
        },
      )
      certificates.onReload = (renewed) => secure.setSecureContext(renewed)
      secure.on('tlsClientError', (_error, socket) => socket.destroy())
      accept = (socket) => secure.emit('connection', socket)
    } else if (config.protocol === 'h2c') {
      accept = (socket) => this.#http2.server.emit('connection', socket)
    } else {
      accept = (socket) => this.#http1.server.emit('connection', socket)
    }
    const { proxyProtocol } = config
    const proxies = proxyProtocol === false ? undefined : CidrSet.of(proxyProtocol.from)
    const server = net.createServer({ noDelay: true, pauseOnConnect: false }, (socket) => {
      if (this.#sockets.size >= this.#listen.limits.connections) {
        socket.destroy()
        return
      }
      track(socket)
      socket.on('error', () => socket.destroy())
      const peer = socket.remoteAddress === undefined ? undefined : parseIp(socket.remoteAddress)
      if (proxies === undefined || !proxies.contains(peer)) {
        accept(socket)
        return
      }
      readProxyHeader(
        socket,
        this.#listen.timeouts.header,
        (source) => {
          if (source !== undefined) setProxiedPeer(socket, source)
          accept(socket)
        },
        () => log.warn('a listed peer did not begin with a PROXY protocol header', { path }),
      )
    })
    return { config, server, certificates, isInherited: false }
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Ports in the order of `listen.addresses`, once listening. */
  get ports(): number[] {
    return this.#listeners.map(({ server }) => (server.address() as net.AddressInfo).port)
  }

  /** @throws ConfigError when an address is in use or may not be bound */
  async start(): Promise<void> {
    await this.#takeInherited()
    await Promise.all(
      this.#listeners.map(async ({ server, config, isInherited }, index) => {
        if (!isInherited) await bind(server, config, index)
      }),
    )
  }

  /** An entry whose port a service manager has opened is served from that socket. */
  async #takeInherited(): Promise<void> {
    const taken: Listener[] = []
    const servers = await takeInherited(process.env, (at) => {
      const listener = this.#listeners.find(
        (one) => !taken.includes(one) && one.config.port === at.port && isBoundTo(at, one.config),
      )
      if (listener === undefined) {
        this.#log.warn('nobody serves a socket that was handed over', {
          address: at.address,
          port: at.port,
          hint: 'give it an entry in listen.addresses',
        })
        return undefined
      }
      taken.push(listener)
      const { server } = listener
      return (socket) => server.emit('connection', socket)
    })
    servers.forEach((server, index) => {
      const listener = taken[index] as Listener
      listener.server = server
      listener.isInherited = true
    })
  }

  /**
   * No new connections; those that are idle are closed, requests under way finish within `drainMs`.
   * @returns how many connections had to be cut
   */
  async stop(drainMs: number): Promise<number> {
    for (const { server, certificates } of this.#listeners) {
      server.close()
      certificates?.close()
    }
    this.#http1.drain()
    this.#http2.drain()
    const deadline = performance.now() + drainMs
    while (this.#sockets.size > 0 && performance.now() < deadline) {
      this.#http1.drain()
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    const cut = this.#sockets.size
    this.#http2.destroy()
    for (const socket of this.#sockets) socket.destroy()
    // What was cut leaves its record when its connection is closed.
    for (let i = 0; i < 100 && this.#sockets.size > 0; i++) await nextTurn()
    await nextTurn()
    return cut
  }

  refreshCertificates(): void {
    for (const { certificates } of this.#listeners) certificates?.refresh()
  }
}

/** A socket of systemd for every address is bound to `::`. */
function isBoundTo(at: net.AddressInfo, config: ListenAddressConfig): boolean {
  if (config.address === '*') return at.address === '::' || at.address === '0.0.0.0'
  return at.address === config.address
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

function bind(server: net.Server, config: ListenAddressConfig, index: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const path = `listen.addresses[${index}]`
    server.once('error', (error: NodeJS.ErrnoException) => {
      const where = `${config.address}:${config.port}`
      const known: Record<string, [string, string]> = {
        EADDRINUSE: [`${where} is in use`, 'stop what listens there, or choose another port'],
        EACCES: [`no permission to listen on ${where}`, 'ports below 1024 need a privilege'],
        EADDRNOTAVAIL: [`${where} is not an address of this machine`, 'use "*" for every address'],
      }
      const [message, hint] = known[error.code ?? ''] ?? [
        `cannot listen on ${where}: ${error.message}`,
        undefined,
      ]
      reject(new ConfigError([{ path, message, hint }]))
    })
    server.listen(
      { port: config.port, ...(config.address === '*' ? {} : { host: config.address }) },
      () => {
        server.removeAllListeners('error')
        server.on('error', () => {})
        resolve()
      },
    )
  })
}

/** The control port: Hono on `@hono/node-server`'s listener, on loopback, a Unix socket, or TCP with a token. */
import { chmodSync, rmSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { createAdminApp } from '../../admin/app.ts'
import { tokenProblem } from '../../admin/guard.ts'
import type { AdminView } from '../../admin/view.ts'
import { ConfigError } from '../../config/errors.ts'
import type { AdminConfig } from '../../config/sections/admin.ts'
import type { Mask } from '../../telemetry/mask.ts'

export interface AdminServer {
  /** For people: `http://127.0.0.1:9090` or the socket's path. */
  readonly address: string
  close(): Promise<void>
}

/**
 * @param token  the secret that the section names, already read
 * @throws ConfigError when the token is unfit or the address cannot be bound
 */
export async function startAdmin(
  config: AdminConfig,
  token: string | undefined,
  view: AdminView,
  mask: () => Mask,
): Promise<AdminServer> {
  if (token !== undefined) {
    const wrong = tokenProblem(token)
    if (wrong !== undefined) throw new ConfigError([{ path: 'admin.token', message: wrong }])
  }
  const app = createAdminApp(
    view,
    {
      token,
      hosts: config.hosts,
      isUnixSocket: config.socket !== undefined,
      monotonic: () => performance.now(),
      peer: peerName,
    },
    mask,
  )
  const server = http.createServer(
    { headersTimeout: 10_000, requestTimeout: 30_000 },
    getRequestListener(app.fetch, { overrideGlobalObjects: false }),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const where = config.socket ?? `${config.address}:${config.port}`
      reject(
        new ConfigError([
          {
            path: config.socket === undefined ? 'admin.port' : 'admin.socket',
            message:
              error.code === 'EADDRINUSE'
                ? `the control port ${where} is in use`
                : `the control port cannot listen on ${where}: ${error.message}`,
            hint: 'choose another, or set admin.enabled to false',
          },
        ]),
      )
    })
    if (config.socket === undefined) server.listen(config.port, config.address, resolve)
    else {
      // A socket file that a killed process left behind is in nobody's way.
      rmSync(config.socket, { force: true })
      server.listen(config.socket, () => {
        chmodSync(config.socket as string, 0o600)
        resolve()
      })
    }
  })
  return {
    address: config.socket ?? urlOf(server.address() as AddressInfo),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

/** The adapter's bindings hold Node's own request. */
function peerName(env: unknown): string {
  const incoming = (env as { incoming?: http.IncomingMessage }).incoming
  return incoming?.socket.remoteAddress ?? 'socket'
}

/** The control port: Hono on `@hono/node-server`'s listener, on loopback, a Unix socket, or TCP with a token. */
import { chmodSync, rmSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { createAdminApp } from '../../admin/app.ts'
import { tokenProblem } from '../../admin/guard.ts'
import type { AdminView } from '../../admin/view.ts'
import { ConfigError } from '../../config/errors.ts'
import type { Logger } from '../../ports.ts'
import type { Mask } from '../../telemetry/mask.ts'
import { openAudit } from './audit.ts'
import type { ConfigBundle } from './config-file.ts'

export interface AdminServer {
  /** For people: `http://127.0.0.1:9090` or the socket's path. */
  readonly address: string
  close(): Promise<void>
}

/**
 * @param bundle the config at the start: the section takes effect by restart only
 * @throws ConfigError when a token is unfit, the audit log cannot be written or the address cannot be bound
 */
export async function startAdmin(
  bundle: ConfigBundle,
  view: AdminView,
  mask: () => Mask,
  log: Logger,
): Promise<AdminServer> {
  const { admin: config } = bundle.config
  const token = tokenOf(bundle, 'token')
  const readToken = tokenOf(bundle, 'readToken')
  if (token !== undefined && token === readToken) {
    throw new ConfigError([
      {
        path: 'admin.readToken',
        message: 'it is the same as "token"',
        hint: 'whoever has it could write; draw another one',
      },
    ])
  }
  const audit = await openAudit(bundle, log)
  const app = createAdminApp(
    { ...view, audit: audit.view, metrics: () => view.metrics(audit.metrics()) },
    {
      token,
      readToken,
      authenticate: config.jwt === undefined ? undefined : view.authenticate,
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
  }).catch(async (error) => {
    await audit.close()
    throw error
  })
  return {
    address: config.socket ?? urlOf(server.address() as AddressInfo),
    close: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      await audit.close()
    },
  }
}

function tokenOf(bundle: ConfigBundle, key: 'token' | 'readToken'): string | undefined {
  const ref = bundle.config.admin[key]
  if (ref === undefined) return undefined
  const token = bundle.secrets.get(ref)
  const wrong = tokenProblem(token)
  if (wrong !== undefined) throw new ConfigError([{ path: `admin.${key}`, message: wrong }])
  return token
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

/** The adapter's bindings hold Node's own request. */
function peerName(env: unknown): string {
  const incoming = (env as { incoming?: http.IncomingMessage }).incoming
  return incoming?.socket.remoteAddress ?? 'socket'
}

/**
 * Sockets that a service manager has opened for us (systemd's socket activation, sd_listen_fds(3)): file
 * descriptors from 3 on, counted in LISTEN_FDS and meant for the process in LISTEN_PID. Connections that come
 * while the gateway is restarted wait in such a socket instead of being refused.
 */
import cluster from 'node:cluster'
import net from 'node:net'
import { ConfigError } from '../../config/errors.ts'

const FIRST_FD = 3
const MOST = 64

export type Environment = Readonly<Record<string, string | undefined>>

/** Who takes the connections of a socket bound there; undefined when nobody wants it. */
export type Taker = (at: net.AddressInfo) => ((socket: net.Socket) => void) | undefined

/** How many there are; 0 when they are for another process. Workers get those of their primary. */
function inheritedCount(env: Environment): number {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = env
  const owner = cluster.isWorker ? process.ppid : process.pid
  if (pid === undefined || count === undefined || Number(pid) !== owner) return 0
  const number = Number(count)
  return Number.isInteger(number) && number > 0 ? Math.min(number, MOST) : 0
}

/**
 * Serves the inherited sockets that are wanted. The others are left alone: they stay the manager's.
 * @returns their servers
 * @throws ConfigError when one of them is not a TCP socket that listens
 */
export async function takeInherited(env: Environment, taker: Taker): Promise<net.Server[]> {
  const servers: net.Server[] = []
  for (let i = 0; i < inheritedCount(env); i++) {
    const server = await take(FIRST_FD + i, taker)
    if (server !== undefined) servers.push(server)
  }
  return servers
}

function take(fd: number, taker: Taker): Promise<net.Server | undefined> {
  return new Promise((resolve, reject) => {
    const refuse = (message: string) => {
      const hint = 'only ListenStream= with a TCP port can be taken over'
      const text = `the socket handed over as file descriptor ${fd} ${message}`
      reject(new ConfigError([{ path: 'listen.addresses', message: text, hint }]))
    }
    const server = net.createServer({ noDelay: true, pauseOnConnect: false })
    server.once('error', (error) => refuse(`cannot be used: ${error.message}`))
    server.listen({ fd }, () => {
      const at = server.address()
      if (at === null || typeof at === 'string') {
        server.close()
        refuse('is not a TCP socket')
        return
      }
      // At once: a connection may be waiting.
      const accept = taker(at)
      if (accept === undefined) {
        server.close()
        resolve(undefined)
        return
      }
      server.on('connection', accept)
      server.removeAllListeners('error')
      server.on('error', () => {})
      resolve(server)
    })
  })
}

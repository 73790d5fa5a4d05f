/**
 * Upgraded connections: after a 101 both sides talk past the gateway until one closes.
 */
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Reply } from '../../exchange.ts'

/**
 * Writes the 101 and joins client and origin.
 * @param head    bytes the client sent behind its handshake
 * @param onEnd   called once when both sides are closed, with bytes from and to the client
 */
export function joinTunnel(
  client: Duplex,
  head: Buffer,
  reply: Reply,
  onEnd: (bytesIn: number, bytesOut: number) => void,
): void {
  // Made by this runtime's Upstream, which puts the origin's socket there.
  const origin = reply.tunnel as Duplex
  let text = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ''}\r\n`
  for (let i = 0; i < reply.headers.length; i += 2) {
    text += `${reply.headers[i]}: ${reply.headers[i + 1]}\r\n`
  }
  client.write(Buffer.from(`${text}connection: Upgrade\r\nupgrade: websocket\r\n\r\n`, 'latin1'))
  let bytesIn = head.length
  let bytesOut = 0
  let ended = false
  if (head.length > 0) origin.write(head)
  const end = () => {
    client.destroy()
    origin.destroy()
    if (ended) return
    ended = true
    onEnd(bytesIn, bytesOut)
  }
  client.on('data', (chunk: Buffer) => {
    bytesIn += chunk.length
  })
  origin.on('data', (chunk: Buffer) => {
    bytesOut += chunk.length
  })
  for (const side of [client, origin]) {
    side.on('error', end)
    side.on('close', end)
  }
  client.pipe(origin)
  origin.pipe(client)
}

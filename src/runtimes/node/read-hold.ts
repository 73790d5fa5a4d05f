/** Back-pressure on a client connection that `node:http` parses. */
import type { Duplex } from 'node:stream'

/**
 * Reads nothing more from a socket until `release`. A pause alone does not last: Node's parser resumes the
 * socket when a message is complete, and a request's stream does when it is dumped.
 */
export function hold(socket: Duplex): void {
  if (Object.hasOwn(socket, 'resume')) return
  socket.pause()
  socket.resume = stayPaused
}

function stayPaused(this: Duplex): Duplex {
  return this
}

/** Reads again; does nothing to a socket that is not held. */
export function release(socket: Duplex): void {
  if (!Object.hasOwn(socket, 'resume')) return
  Reflect.deleteProperty(socket, 'resume')
  socket.resume()
}

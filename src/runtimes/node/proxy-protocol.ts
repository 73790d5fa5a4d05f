/**
 * PROXY protocol v1 and v2 (HAProxy's proxy-protocol.txt): the client's address in front of the first
 * byte. Believed only from listed peers, and required of them.
 */
import type { Socket } from 'node:net'
import type { IpAddress } from '../../exchange.ts'
import { ipv4FromWord, ipv6FromWords, parseIp } from '../../http/ip.ts'

const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
/** The longest v1 line, with CRLF. */
const V1_MAX = 107

export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid' }
  /** `source` is undefined for LOCAL and UNKNOWN: the connection speaks for itself. */
  | { readonly kind: 'header'; readonly length: number; readonly source: ProxySource | undefined }

export interface ProxySource {
  readonly ip: IpAddress
  readonly port: number
}

export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  const signatureLength = Math.min(bytes.length, V2_SIGNATURE.length)
  if (bytes.subarray(0, signatureLength).equals(V2_SIGNATURE.subarray(0, signatureLength))) {
    return bytes.length < 16 ? { kind: 'incomplete' } : parseV2(bytes)
  }
  const start = bytes.subarray(0, 6).toString('latin1')
  if (!'PROXY '.startsWith(start) && start !== 'PROXY ') return { kind: 'invalid' }
  const end = bytes.indexOf('\r\n')
  if (end < 0) return bytes.length >= V1_MAX ? { kind: 'invalid' } : { kind: 'incomplete' }
  return parseV1(bytes.subarray(0, end).toString('latin1'), end + 2)
}

function parseV1(line: string, length: number): ProxyHeader {
  const parts = line.split(' ')
  if (parts[1] === 'UNKNOWN') return { kind: 'header', length, source: undefined }
  if (parts.length !== 6 || (parts[1] !== 'TCP4' && parts[1] !== 'TCP6')) return { kind: 'invalid' }
  const ip = parseIp(parts[2] as string)
  const port = parts[4] as string
  if (ip === undefined || !/^(0|[1-9][0-9]{0,4})$/.test(port) || Number(port) > 65535) {
    return { kind: 'invalid' }
  }
  return { kind: 'header', length, source: { ip, port: Number(port) } }
}

function parseV2(bytes: Buffer): ProxyHeader {
  const version = (bytes[12] as number) >> 4
  const command = (bytes[12] as number) & 15
  const family = (bytes[13] as number) >> 4
  const addressLength = bytes.readUInt16BE(14)
  if (version !== 2 || command > 1 || addressLength > 2048) return { kind: 'invalid' }
  const length = 16 + addressLength
  if (bytes.length < length) return { kind: 'incomplete' }
  if (command === 0) return { kind: 'header', length, source: undefined }
  if (family === 1 && addressLength >= 12) {
    const source = { ip: ipv4FromWord(bytes.readUInt32BE(16)), port: bytes.readUInt16BE(24) }
    return { kind: 'header', length, source }
  }
  if (family === 2 && addressLength >= 36) {
    const words = [16, 20, 24, 28].map((offset) => bytes.readUInt32BE(offset))
    // Through text, so that mapped addresses become IPv4.
    const ip = parseIp(ipv6FromWords(words).text)
    if (ip === undefined) return { kind: 'invalid' }
    return { kind: 'header', length, source: { ip, port: bytes.readUInt16BE(48) } }
  }
  return { kind: 'header', length, source: undefined }
}

/**
 * Reads the header off a new connection.
 * @param onHeader gets the source, after the bytes behind the header were put back
 * @param onBad    the peer sent something else, or nothing in time; the socket is destroyed after it
 */
export function readProxyHeader(
  socket: Socket,
  timeoutMs: number,
  onHeader: (source: ProxySource | undefined) => void,
  onBad: () => void,
): void {
  let seen = Buffer.alloc(0)
  const timer = setTimeout(() => fail(), timeoutMs)
  timer.unref()
  const stop = () => {
    clearTimeout(timer)
    socket.off('readable', onReadable)
    socket.off('error', fail)
    socket.off('close', stop)
  }
  const fail = () => {
    stop()
    onBad()
    socket.destroy()
  }
  const onReadable = () => {
    for (;;) {
      const chunk = socket.read() as Buffer | null
      if (chunk === null) return
      seen = Buffer.concat([seen, chunk])
      const header = parseProxyHeader(seen)
      if (header.kind === 'incomplete') continue
      if (header.kind === 'invalid') {
        fail()
        return
      }
      stop()
      const rest = seen.subarray(header.length)
      if (rest.length > 0) socket.unshift(rest)
      onHeader(header.source)
      return
    }
  }
  socket.on('readable', onReadable)
  socket.on('error', fail)
  socket.on('close', stop)
}

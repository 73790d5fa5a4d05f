/** One health check on Node: an HTTP request through the upstream's own client, or a TCP connection. */
import net from 'node:net'
import { HeaderList } from '../../exchange.ts'
import type { ProbeResult } from '../../health/active.ts'
import { judgeHttpProbe, type Prober, type ProbeTarget } from '../../health/probe.ts'
import { type OriginAddress, UpstreamError } from '../../ports.ts'
import type { UndiciUpstream } from './undici-upstream.ts'

export function nodeProber(upstream: UndiciUpstream): Prober {
  // Checks have connections of their own: a pool that is busy with requests must not look dead.
  const addresses = new WeakMap<OriginAddress, OriginAddress>()
  return (target) => {
    if (target.health.type === 'tcp') return probeTcp(target, upstream.lookupOf(target.origin))
    let address = addresses.get(target.origin)
    if (address === undefined) {
      address = { ...target.origin, id: `${target.origin.id} (checks)`, maxConnections: 1 }
      addresses.set(target.origin, address)
    }
    return probeHttp(upstream, address, target)
  }
}

async function probeHttp(
  upstream: UndiciUpstream,
  address: OriginAddress,
  { health }: ProbeTarget,
): Promise<ProbeResult> {
  const host = health.host ?? `${address.hostname}:${address.port}`
  const call = upstream.send(address, {
    method: health.method,
    path: health.path,
    headers: ['host', host, 'user-agent', 'meridian-health-check', 'connection', 'close'],
    body: null,
    connectTimeoutMs: health.timeout,
    firstByteTimeoutMs: health.timeout,
    idleTimeoutMs: health.timeout,
    collectBytes: 0,
  })
  try {
    const reply = await call.reply
    const body = await readStart(reply.body, health.body === undefined ? 0 : health.bodyLimit)
    const state = new HeaderList(reply.headers).get('x-meridian-state')
    return judgeHttpProbe(health, reply.status, body, state)
  } catch (error) {
    const isGone = error instanceof UpstreamError && /ECONNREFUSED|ENOENT/.test(error.message)
    return {
      ok: false,
      detail: error instanceof Error ? error.message : String(error),
      immediate: isGone,
    }
  } finally {
    call.cancel()
  }
}

type ReplyBody = Awaited<ReturnType<UndiciUpstream['send']>['reply']>['body']

/** The first `limit` bytes as text; undefined when none are wanted. */
function readStart(body: ReplyBody, limit: number): Promise<string | undefined> {
  if (limit === 0 || body === null) return Promise.resolve(limit === 0 ? undefined : '')
  if (body instanceof Uint8Array) {
    return Promise.resolve(Buffer.from(body.subarray(0, limit)).toString('latin1'))
  }
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let total = 0
    const done = () => resolve(Buffer.concat(chunks).subarray(0, limit).toString('latin1'))
    body.pipe({
      write(chunk) {
        chunks.push(Buffer.from(chunk))
        total += chunk.length
        if (total < limit) return true
        body.cancel()
        done()
        return false
      },
      end: done,
      fail: done,
    })
  })
}

function probeTcp(
  { origin, health }: ProbeTarget,
  lookup: net.LookupFunction | undefined,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket =
      origin.socketPath === undefined
        ? net.connect({
            port: origin.port,
            host: origin.hostname,
            ...(lookup === undefined ? {} : { lookup }),
          })
        : net.connect(origin.socketPath)
    const finish = (result: ProbeResult) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(
      () => finish({ ok: false, detail: `no connection in ${health.timeout} ms` }),
      health.timeout,
    )
    socket.once('connect', () => finish({ ok: true, detail: 'connected' }))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      finish({
        ok: false,
        detail: error.code ?? error.message,
        immediate: error.code === 'ECONNREFUSED',
      }),
    )
  })
}

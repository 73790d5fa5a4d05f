/**
 * Who asks, by what Cloudflare vouches for. `CF-Connecting-IP` is a field like any other where the request
 * did not come through Cloudflare: there a client could send it.
 */
import type { TlsInfo } from '../../exchange.ts'
import type { RequestInfo } from '../web/serve.ts'
import type { CloudflareFacts } from './bindings.ts'

const UNKNOWN: RequestInfo = Object.freeze({})
/** On a developer's machine the peer is that machine. */
const LOCAL: RequestInfo = Object.freeze({ ip: '127.0.0.1' })

/** @param isLocal the runtime is not Cloudflare's: its `request.cf` is made up */
export function infoOf(request: Request, isLocal: boolean): RequestInfo {
  if (isLocal) return LOCAL
  const { cf } = request as Request & { cf?: CloudflareFacts }
  // Cloudflare always names the data centre.
  if (cf === undefined || cf === null || typeof cf.colo !== 'string') return UNKNOWN
  const ip = request.headers.get('cf-connecting-ip')
  const info = { tls: tlsOf(cf), place: cf }
  return ip === null ? info : { ...info, ip }
}

function tlsOf(cf: CloudflareFacts): TlsInfo | null {
  const { tlsVersion, tlsCipher, tlsClientAuth: client } = cf
  if (typeof tlsVersion !== 'string' || tlsVersion === '') return null
  const tls = {
    version: tlsVersion,
    ...(typeof tlsCipher === 'string' ? { cipher: tlsCipher } : {}),
  }
  if (client?.certPresented !== '1') return tls
  return {
    ...tls,
    certificate: {
      verified: client.certVerified === 'SUCCESS',
      subject: String(client.certSubjectDN ?? ''),
      issuer: String(client.certIssuerDN ?? ''),
      serial: String(client.certSerial ?? ''),
      fingerprint256: String(client.certFingerprintSHA256 ?? '')
        .replaceAll(':', '')
        .toLowerCase(),
    },
  }
}

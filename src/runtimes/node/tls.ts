/**
 * TLS towards clients: a certificate per server name, read again when its files change. A pair that does
 * not load keeps the last good one.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import tls, { type SecureContext, type TLSSocket } from 'node:tls'
import { ConfigError, type ConfigProblem } from '../../config/errors.ts'
import type { ListenAddressConfig } from '../../config/sections/listen.ts'
import type { TlsInfo } from '../../exchange.ts'
import type { Logger } from '../../ports.ts'

type TlsConfig = NonNullable<ListenAddressConfig['tls']>

interface LoadedCertificate {
  readonly options: tls.SecureContextOptions
  readonly context: SecureContext
  readonly names: readonly string[]
  readonly expiresAt: number
}

interface CertificateTable {
  readonly exact: ReadonlyMap<string, SecureContext>
  /** By the part after `*`. */
  readonly wildcard: ReadonlyMap<string, SecureContext>
  readonly fallback: LoadedCertificate
  readonly expiresAt: number
}

/** Certificates of one listening address. */
export class Certificates {
  readonly #config: TlsConfig
  readonly #baseDir: string
  readonly #log: Logger
  #table: CertificateTable
  #stamp: string
  #timer: NodeJS.Timeout | undefined
  /** Called after a change, with what clients that send no server name get: Node asks nobody for those. */
  onReload: ((options: tls.SecureContextOptions) => void) | undefined

  /** @throws ConfigError when a pair cannot be read or does not fit together */
  constructor(config: TlsConfig, baseDir: string, path: string, log: Logger) {
    this.#config = config
    this.#baseDir = baseDir
    this.#log = log
    this.#stamp = this.#stampNow()
    const problems: ConfigProblem[] = []
    const table = this.#load(path, problems)
    if (table === undefined) throw new ConfigError(problems)
    this.#table = table
  }

  /** When the first certificate in use expires, milliseconds since the epoch. */
  get expiresAt(): number {
    return this.#table.expiresAt
  }

  /** Options for `tls.createServer`. */
  options(http2: boolean): tls.TlsOptions {
    const { clientCertificate } = this.#config
    return {
      ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
      requestCert: clientCertificate !== 'none',
      rejectUnauthorized: clientCertificate === 'require',
      SNICallback: (serverName, done) => done(null, this.#contextFor(serverName)),
      // For clients that send no server name.
      ...this.#table.fallback.options,
    }
  }

  #contextFor(serverName: string): SecureContext {
    const name = serverName.toLowerCase()
    const table = this.#table
    const exact = table.exact.get(name)
    if (exact !== undefined) return exact
    const dot = name.indexOf('.')
    return (dot < 0 ? undefined : table.wildcard.get(name.slice(dot))) ?? table.fallback.context
  }

  /** Reads changed files again; called on a timer and after a reload. */
  refresh(): void {
    const stamp = this.#stampNow()
    if (stamp === this.#stamp) return
    const problems: ConfigProblem[] = []
    const table = this.#load('listen', problems)
    if (table === undefined) {
      this.#log.error('certificates not reloaded, the last good ones stay', {
        problems: problems.map((problem) => problem.message),
      })
      return
    }
    this.#stamp = stamp
    this.#table = table
    this.onReload?.(table.fallback.options)
    this.#log.info('certificates reloaded', { expires: new Date(table.expiresAt).toISOString() })
  }

  watch(everyMs: number): void {
    this.#timer = setInterval(() => this.refresh(), everyMs)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #stampNow(): string {
    const hash = createHash('sha256')
    const { certificates, clientCa } = this.#config
    const files = certificates.flatMap(({ cert, key }) => [cert, key])
    if (clientCa !== undefined) files.push(clientCa)
    for (const file of files) {
      try {
        const { mtimeMs, size, ino } = statSync(resolve(this.#baseDir, file))
        hash.update(`${mtimeMs}:${size}:${ino};`)
      } catch {
        hash.update('missing;')
      }
    }
    return hash.digest('hex')
  }

  #load(path: string, problems: ConfigProblem[]): CertificateTable | undefined {
    const exact = new Map<string, SecureContext>()
    const wildcard = new Map<string, SecureContext>()
    let fallback: LoadedCertificate | undefined
    let expiresAt = Number.POSITIVE_INFINITY
    this.#config.certificates.forEach((entry, index) => {
      try {
        const loaded = loadPair(
          readFileSync(resolve(this.#baseDir, entry.cert)),
          readFileSync(resolve(this.#baseDir, entry.key)),
          this.#config,
          this.#baseDir,
        )
        fallback ??= loaded
        expiresAt = Math.min(expiresAt, loaded.expiresAt)
        for (const name of entry.serverNames ?? loaded.names) {
          if (name.startsWith('*.')) wildcard.set(name.slice(1), loaded.context)
          else exact.set(name, loaded.context)
        }
      } catch (error) {
        problems.push({
          path: `${path}.tls.certificates[${index}]`,
          message: `the certificate pair cannot be used: ${(error as Error).message}`,
          hint: 'cert is a PEM chain, key the PEM key that belongs to its first certificate',
        })
      }
    })
    if (fallback === undefined || problems.length > 0) return undefined
    return { exact, wildcard, fallback, expiresAt }
  }
}

function loadPair(
  cert: Buffer,
  key: Buffer,
  { minVersion, clientCa }: TlsConfig,
  baseDir: string,
): LoadedCertificate {
  const certificate = new X509Certificate(cert)
  const options: tls.SecureContextOptions = {
    cert,
    key,
    minVersion: minVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    honorCipherOrder: true,
    // In every context: the one that a server name chooses also judges the client's certificate.
    ...(clientCa === undefined ? {} : { ca: readFileSync(resolve(baseDir, clientCa)) }),
  }
  const context = tls.createSecureContext(options)
  const names = (certificate.subjectAltName ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry.startsWith('DNS:'))
    .map((entry) => entry.slice(4).toLowerCase())
  return { options, context, names, expiresAt: Date.parse(certificate.validTo) }
}

/** What the handshake told us. */
export function tlsInfoOf(socket: TLSSocket): TlsInfo {
  const peer = socket.getPeerX509Certificate?.()
  const serverName = socket.servername
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher()?.name ?? '',
    ...(typeof serverName === 'string' && serverName !== '' ? { serverName } : {}),
    ...(peer === undefined
      ? {}
      : {
          certificate: {
            verified: socket.authorized,
            subject: peer.subject,
            issuer: peer.issuer,
            serial: peer.serialNumber,
            fingerprint256: peer.fingerprint256.replaceAll(':', '').toLowerCase(),
          },
        }),
  }
}

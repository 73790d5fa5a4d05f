/** Where clients connect: addresses, TLS, and what a connection may cost (`listen`, `trustedProxies`, `workers`, `shutdown`). */
import * as v from 'valibot'
import { filePath } from '../paths.ts'
import {
  cidr,
  duration,
  ipAddress,
  nonNegativeInteger,
  port,
  positiveInteger,
  size,
} from '../values.ts'

const serverName = v.pipe(
  v.string(),
  v.regex(
    /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'a lower-case host name is expected, such as "example.com" or "*.example.com"',
  ),
)

const extraMethod = v.pipe(
  v.string(),
  v.regex(/^[A-Z][A-Z0-9-]{0,31}$/, 'an upper-case method is expected, such as "PROPFIND"'),
  v.notValues(['CONNECT', 'TRACE'], 'CONNECT and TRACE are never let in'),
)

const Certificate = v.strictObject({
  cert: v.pipe(
    filePath,
    v.description('PEM file with the certificate and its chain; reloaded when it changes.'),
  ),
  key: v.pipe(filePath, v.description('PEM file with the private key.')),
  serverNames: v.pipe(
    v.optional(v.array(serverName)),
    v.description(
      'Server names (SNI) this certificate answers for. Left out: the names inside the certificate. The first certificate also answers for unknown names.',
    ),
  ),
})

const Tls = v.strictObject({
  certificates: v.pipe(
    v.array(Certificate),
    v.minLength(1, 'at least one certificate is expected'),
    v.description('Certificates, chosen by server name.'),
  ),
  minVersion: v.pipe(
    v.optional(v.picklist(['1.2', '1.3']), '1.2'),
    v.description('Oldest TLS version that is accepted.'),
  ),
  clientCa: v.pipe(
    v.optional(filePath),
    v.description('PEM file with the authorities that client certificates must chain to.'),
  ),
  clientCertificate: v.pipe(
    v.optional(v.picklist(['none', 'request', 'require']), 'none'),
    v.description(
      'Whether clients are asked for a certificate: `request` lets those without one in, `require` does not. Both need `clientCa`.',
    ),
  ),
})

const ProxyProtocol = v.strictObject({
  from: v.pipe(
    v.array(cidr),
    v.minLength(1, 'name the peers that send the PROXY protocol'),
    v.description(
      'Peers that must begin with a PROXY protocol header (v1 or v2); others are ordinary clients.',
    ),
  ),
})

const ListenAddress = v.strictObject({
  address: v.pipe(
    v.optional(
      v.union([v.literal('*'), ipAddress], 'an IP address, or "*" for every address, is expected'),
      '*',
    ),
    v.description('IP address to listen on; `*` means every address, IPv4 and IPv6.'),
  ),
  port: v.pipe(port, v.description('TCP port, 0 to 65535; 0 takes a free one.')),
  protocol: v.pipe(
    v.optional(v.picklist(['http', 'https', 'h2c']), 'http'),
    v.description(
      '`https` needs `tls`. `h2c` is HTTP/2 without TLS by prior knowledge, for a trusted hop in front.',
    ),
  ),
  tls: v.pipe(v.optional(Tls), v.description('Certificates and TLS options, for `https`.')),
  proxyProtocol: v.pipe(
    v.optional(
      v.union([v.literal(false), ProxyProtocol], 'false, or {"from": [addresses]}, is expected'),
      false,
    ),
    v.description('Peers whose connections begin with a PROXY protocol header, or false.'),
  ),
  http2: v.pipe(
    v.optional(v.boolean(), true),
    v.description('Offer HTTP/2 next to HTTP/1.1 (by ALPN, so with `https` only).'),
  ),
})

const ListenTimeouts = v.strictObject({
  header: v.pipe(
    v.optional(duration, '10s'),
    v.description(
      'For the whole request header, from the first byte or from accept; then 408 and close.',
    ),
  ),
  body: v.pipe(
    v.optional(duration, '30s'),
    v.description('Between two pieces of a request body; then 408 and close.'),
  ),
  request: v.pipe(
    v.optional(duration, '5m'),
    v.description('For receiving a whole request, header and body.'),
  ),
  keepAlive: v.pipe(
    v.optional(duration, '65s'),
    v.description(
      'How long an idle connection stays open. Longer than the load balancer in front waits.',
    ),
  ),
  write: v.pipe(
    v.optional(duration, '30s'),
    v.description(
      'How long a client may take nothing of its response before the connection is closed.',
    ),
  ),
})

const ListenLimits = v.strictObject({
  headerBytes: v.pipe(
    v.optional(size, '16KiB'),
    v.description('Most bytes of request line and header fields; above it 431.'),
  ),
  headerFields: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(2000)), 100),
    v.description('Most header fields; above it 431. 1 to 2000.'),
  ),
  body: v.pipe(
    v.optional(size, '100MiB'),
    v.description('Most bytes of a request body; above it 413. Routes may set their own.'),
  ),
  connections: v.pipe(
    v.optional(positiveInteger, 10_000),
    v.description('Most client connections of one process; the next ones are closed at once.'),
  ),
  pipelinedRequests: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(1000)), 8),
    v.description('Most HTTP/1.1 requests under way on one connection; reading pauses above it.'),
  ),
  requestsPerConnection: v.pipe(
    v.optional(nonNegativeInteger, 0),
    v.description('Close a connection after this many requests; 0 means never.'),
  ),
  http2Streams: v.pipe(
    v.optional(v.pipe(positiveInteger, v.maxValue(10_000)), 100),
    v.description('Most HTTP/2 streams open at once on one connection.'),
  ),
  http2Resets: v.pipe(
    v.optional(positiveInteger, 100),
    v.description(
      'Most HTTP/2 streams a client may reset in 10 s before its connection is closed (rapid reset, CVE-2023-44487).',
    ),
  ),
})

/** `listen`: addresses, timeouts and limits towards clients. */
export const ListenSection = v.pipe(
  v.strictObject({
    addresses: v.pipe(
      v.optional(
        v.pipe(v.array(ListenAddress), v.minLength(1, 'at least one address is expected')),
        () => [{ port: 8080 }],
      ),
      v.description('Addresses that clients connect to.'),
    ),
    timeouts: v.pipe(v.optional(ListenTimeouts, {}), v.description('Timeouts towards clients.')),
    limits: v.pipe(
      v.optional(ListenLimits, {}),
      v.description('What one connection, request or process may use.'),
    ),
    methods: v.pipe(
      v.optional(v.array(extraMethod), []),
      v.description(
        'Request methods let in besides GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS and QUERY, such as `PROPFIND`. CONNECT and TRACE are not among those that can be added.',
      ),
    ),
  }),
  v.description('Where clients connect, and what a connection may cost.'),
)
export type ListenConfig = v.InferOutput<typeof ListenSection>
export type ListenAddressConfig = ListenConfig['addresses'][number]

/** `trustedProxies`: peers whose forwarding headers are believed. */
export const TrustedProxiesSection = v.pipe(
  v.array(cidr),
  v.description(
    'Proxies in front of the gateway, as addresses or CIDR blocks. Only from them are `X-Forwarded-For`, `Forwarded` and the like believed, from right to left; everybody else’s are dropped.',
  ),
)
export type TrustedProxiesConfig = v.InferOutput<typeof TrustedProxiesSection>

/** `workers`: processes that share the listening sockets. */
export const WorkersSection = v.pipe(
  v.union(
    [v.pipe(positiveInteger, v.maxValue(256)), v.literal('auto')],
    'a number of processes (1 to 256) or "auto" is expected',
  ),
  v.description(
    'Worker processes; `auto` takes one for each available CPU. 1 runs in a single process.',
  ),
)
export type WorkersConfig = v.InferOutput<typeof WorkersSection>

/** `shutdown`: how a process leaves. */
export const ShutdownSection = v.pipe(
  v.strictObject({
    delay: v.pipe(
      v.optional(duration, '0s'),
      v.description(
        'After SIGTERM: how long to go on serving while readiness already says no, so that load balancers notice.',
      ),
    ),
    drain: v.pipe(
      v.optional(duration, '30s'),
      v.description(
        'How long requests under way may take to finish before their connections are cut.',
      ),
    ),
  }),
  v.description('How the gateway stops: readiness off, a delay, drain, exit 0.'),
)
export type ShutdownConfig = v.InferOutput<typeof ShutdownSection>

/** `name`: what the gateway calls itself. */
export const NameSection = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'a name of 1 to 64 letters, digits, ".", "_" or "-" is expected',
  ),
  v.description(
    'What the gateway calls itself towards others (`Via`, `CDN-Loop`). A request that has been at a gateway of this name is a loop (508), so gateways in a row have different names.',
  ),
)

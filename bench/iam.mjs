/**
 * A known token against a verification, in one run: CPU time for each `identify`, best of several rounds.
 * `npm run build && node bench/iam.mjs`
 */
import { performance } from 'node:perf_hooks'
import { argv, cpuUsage, exit, stdout } from 'node:process'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import * as v from 'valibot'
import { IamSection, RouteAuthSection } from '../dist/config/sections/iam.js'
import { Exchange, HeaderList } from '../dist/exchange.js'
import { parseIp } from '../dist/http/ip.js'
import { Identity } from '../dist/iam/identity.js'

const TOKENS = 300
const KNOWN = 100_000
const ROUNDS = 7
const ISSUER = 'https://id.example.com'

function cpu() {
  const { user, system } = cpuUsage()
  return user + system
}

function exchangeWith(token) {
  const ip = parseIp('192.0.2.1')
  return new Exchange({
    id: 'bench',
    startedAt: 0,
    method: 'GET',
    scheme: 'https',
    httpVersion: '1.1',
    authority: 'api.example.com',
    host: 'api.example.com',
    target: { raw: '/', path: '/', query: '', pathAndQuery: '/' },
    // A copy of the text each time, as a socket gives it: its hash is not there yet.
    headers: new HeaderList([
      ...['Host', 'api.example.com', 'User-Agent', 'bench', 'Accept', '*/*'],
      ...['Authorization', Buffer.from(`Bearer ${token}`).toString('latin1')],
    ]),
    client: { ip, port: 1, peer: ip, viaTrustedProxy: false, tls: null },
    body: null,
  })
}

async function measure(algorithm) {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k' }
  const now = Math.floor(Date.now() / 1000)
  const tokens = []
  for (let i = 0; i < TOKENS; i++) {
    const claims = {
      sub: `user-${i}`,
      client_id: 'app',
      scope: 'orders:read orders:write',
      org: 'acme',
    }
    tokens.push(
      await new SignJWT({ ...claims, email: `user-${i}@example.com`, roles: ['reader', 'writer'] })
        .setProtectedHeader({ alg: algorithm, typ: 'at+jwt', kid: 'k' })
        .setIssuer(ISSUER)
        .setAudience('api://orders')
        .setIssuedAt(now)
        .setExpirationTime(now + 3600)
        .setJti(`id-${i}`)
        .sign(privateKey),
    )
  }
  const config = v.parse(IamSection, {
    issuers: [{ id: 'main', issuer: ISSUER, jwks: { keys: [jwk] }, profile: 'rfc9068' }],
  })
  const report = (path, message) => {
    throw new Error(`${path}: ${message}`)
  }
  const options = {
    clock: { now: () => Date.now(), monotonic: () => performance.now(), after: () => () => {} },
    random: { next: Math.random, bytes: (count) => new Uint8Array(count) },
    keys: { fetch: () => Promise.reject(new Error('no network here')) },
    secret: () => undefined,
    file: () => undefined,
    report,
  }
  let verification = Number.POSITIVE_INFINITY
  let known = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const identity = Identity.compile(config, options)
    const auth = v.parse(RouteAuthSection, { audience: 'api://orders', scopes: ['orders:read'] })
    const route = identity.route(auth, 'auth', report)
    const fresh = tokens.map(exchangeWith)
    // Keys are imported with the first token, once for a key's life.
    await identity.identify(fresh[0], route)
    let before = cpu()
    for (let i = 1; i < TOKENS; i++) await identity.identify(fresh[i], route)
    verification = Math.min(verification, (cpu() - before) / (TOKENS - 1))
    const again = Array.from({ length: KNOWN }, (_, i) => exchangeWith(tokens[i % TOKENS]))
    // Revocations are in use.
    identity.revocations.add({ kind: 'jti', value: 'other', expiresAt: now + 3600 })
    before = cpu()
    for (const x of again) identity.identify(x, route)
    known = Math.min(known, (cpu() - before) / KNOWN)
    if (again.at(-1).principal?.kind !== 'jwt') throw new Error('a token was refused')
  }
  return { verification, known }
}

let missed = false
for (const algorithm of ['RS256', 'ES256', 'EdDSA']) {
  const { verification, known } = await measure(algorithm)
  const ratio = known / verification
  missed ||= ratio > 1 / 30
  stdout.write(
    `${algorithm}: a known token costs ${ratio.toFixed(4)} of a verification (${known.toFixed(2)} us to ${verification.toFixed(1)} us)\n`,
  )
}
stdout.write(`budget: 0.0333, ${missed ? 'missed' : 'met'}\n`)
exit(argv.includes('--check') && missed ? 1 : 0)

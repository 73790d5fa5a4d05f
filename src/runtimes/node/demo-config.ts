/** The config of the demo: everything on, on one machine. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { MeridianConfigInput } from '../../config/schema.ts'

export interface DemoOriginAddress {
  readonly region: string
  readonly url: string
}

/** Names a region's pool. */
const POOL_OF: Readonly<Record<string, string>> = {
  'eu-central-1': 'frankfurt',
  'us-east-1': 'virginia',
  'ap-southeast-1': 'singapore',
}

/** Beside the config. */
export const CONTROL_TOKEN_FILE = 'control-token'

export const RULES_FILE = 'shop-rules.json'

/** A ruleset of the demo's own, to be edited; its tests are run whenever it is published. */
export const DEMO_RULES = {
  ruleset: 'shop',
  description: 'What only this shop forbids.',
  rules: [
    {
      id: 'no-exports',
      description: 'Exports are for the office',
      expression: 'http.request.uri.path eq "/products/export"',
      action: 'block',
      tests: [
        { request: { uri: '/products/export' }, match: true },
        { request: { uri: '/products/1' }, match: false },
      ],
    },
  ],
}

const ISSUER = 'https://issuer.demo.test'
const AUDIENCE = 'meridian-demo'

export async function demoConfig(
  origins: readonly DemoOriginAddress[],
  ports: { readonly port: number; readonly adminPort: number },
): Promise<{ config: MeridianConfigInput; signingKey: CryptoKey }> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'demo', alg: 'ES256', use: 'sig' }
  const pools: Record<string, NonNullable<MeridianConfigInput['pools']>[string]> = {}
  const regions: NonNullable<MeridianConfigInput['regions']> = []
  for (const { region, url } of origins) {
    const pool = POOL_OF[region] ?? region
    pools[pool] = {
      origins: [{ id: region, url }],
      timeouts: { connect: '500ms', firstByte: '1500ms' },
      health: { path: '/healthz', interval: '2s', timeout: '1s' },
    }
    regions.push({ id: region, cloud: `aws:${region}`, pools: [pool] })
  }
  const config: MeridianConfigInput = {
    listen: { addresses: [{ port: ports.port }] },
    // A few minutes of requests, for trying changed rules on.
    admin: { port: ports.adminPort, token: { file: CONTROL_TOKEN_FILE }, recorded: 1000 },
    // The demo's clients are this machine; X-Forwarded-For says where they pretend to be.
    trustedProxies: ['127.0.0.0/8', '::1'],
    geo: { gateway: { region: 'eu-central-1' } },
    pools,
    regions,
    waf: { rulesets: ['managed', { file: RULES_FILE }] },
    limits: [{ id: 'per-client', limit: 20, window: '1s', burst: 20, scope: 'route', key: ['ip'] }],
    iam: {
      // Routes that say nothing about identity are open; the demo's site is public.
      default: 'none',
      issuers: [{ id: 'demo', issuer: ISSUER, jwks: { keys: [jwk] } }],
    },
    routes: [
      {
        id: 'private',
        match: { path: '/private' },
        auth: { methods: ['jwt'], issuers: ['demo'], audience: [AUDIENCE] },
      },
      { id: 'limited', match: { path: '/limited' }, limits: ['per-client'] },
      {
        id: 'checkout',
        match: { path: '/checkout' },
        pools: ['frankfurt'],
        rollout: {
          from: 'frankfurt',
          to: 'virginia',
          steps: [5, 25, 50, 100],
          bake: '2m',
          gates: { minSamples: 10 },
        },
      },
      { id: 'cached', match: { path: ['/cached', '/etag'] }, cache: {} },
      { id: 'site' },
    ],
    telemetry: { access: { output: 'stdout', enabled: false } },
  }
  return { config, signingKey: privateKey }
}

/** A token that the demo's private route accepts for an hour. */
export async function demoToken(signingKey: CryptoKey): Promise<string> {
  return new SignJWT({ scope: 'demo' })
    .setProtectedHeader({ alg: 'ES256', kid: 'demo', typ: 'at+jwt' })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject('demo-user')
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(signingKey)
}

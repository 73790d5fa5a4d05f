/** From `iam.login` to a login. Reports, never throws. */
import type { IamConfig, LoginConfig } from '../../config/sections/iam.ts'
import type { OpenIdClientOptions, OpenIdProvider } from '../../ports.ts'
import { type IdentityPorts, secretText } from '../compile.ts'
import type { FailureGuard } from '../credentials.ts'
import { utf8 } from '../encoding.ts'
import type { RevocationList } from '../revocation.ts'
import { LoginCookieNames } from './cookies.ts'
import { Login } from './login.ts'
import { Seal } from './seal.ts'
import type { SessionRules } from './session.ts'
import { RefreshMemory, Sessions } from './sessions.ts'
import { UsedStates } from './used-states.ts'

const PATH = 'iam.login'
const SECRET_BYTES = 32
const LOOPBACK = /^http:\/\/(localhost|127\.0\.0\.1)(:[0-9]+)?$/

/** What outlives a reload. */
export class LoginMemory {
  readonly used = new UsedStates()
  readonly refreshes = new RefreshMemory()
}

export interface LoginSurroundings {
  readonly ports: IdentityPorts
  /** The library, loaded; undefined when there is none, which has been reported. */
  readonly openId: ((options: OpenIdClientOptions) => OpenIdProvider) | undefined
  readonly guard: FailureGuard
  readonly revocations: RevocationList
  readonly memory: LoginMemory
}

export function compileLogin(
  config: IamConfig,
  login: LoginConfig,
  { ports, openId, guard, revocations, memory }: LoginSurroundings,
): Login | undefined {
  const { report, clock, random, log, keys } = ports
  const { publicOrigin } = config
  if (publicOrigin === undefined) {
    report(PATH, 'a login needs `iam.publicOrigin`', 'name the origin that browsers use')
  } else if (publicOrigin.startsWith('http:') && !LOOPBACK.test(publicOrigin)) {
    report('iam.publicOrigin', 'a login over plain http is possible on this machine only')
  }
  if (!login.scopes.includes('openid')) {
    report(`${PATH}.scopes`, 'without the scope "openid" there is no ID token')
  }
  const seconds = (ms: number) => Math.max(1, Math.floor(ms / 1000))
  if (login.idle > login.lifetime) {
    report(`${PATH}.idle`, 'a session cannot be idle for longer than its lifetime')
  }
  for (const name of OURS) {
    if (Object.hasOwn(login.parameters, name)) {
      report(`${PATH}.parameters.${name}`, 'the gateway sets this parameter itself', 'leave it out')
    }
  }
  const refs = Array.isArray(login.secret) ? login.secret : [login.secret]
  const secrets: string[] = []
  refs.forEach((ref, i) => {
    const path = Array.isArray(login.secret) ? `${PATH}.secret[${i}]` : `${PATH}.secret`
    const text = secretText(ref, path, ports)
    if (text === undefined) return
    const { length } = utf8(text)
    if (length < SECRET_BYTES) {
      report(path, `the secret has ${length} bytes; at least ${SECRET_BYTES} are expected`)
    }
    secrets.push(text)
  })
  const clientSecret =
    login.clientSecret === undefined
      ? undefined
      : secretText(login.clientSecret, `${PATH}.clientSecret`, ports)
  if (publicOrigin === undefined || openId === undefined || secrets.length === 0) return undefined
  const rules: SessionRules = {
    issuer: login.issuer,
    clientId: login.clientId,
    map: login.map,
    claims: login.claims === undefined ? undefined : claimsNeeded(login.claims, config, login),
    keepsIdToken: login.logout.idTokenHint,
  }
  const provider = openId({
    issuer: login.issuer,
    clientId: login.clientId,
    clientSecret,
    authentication: login.clientAuthentication,
    skew: config.skew / 1000,
    keys,
    clock,
  })
  const seal = new Seal(secrets)
  const names = new LoginCookieNames(publicOrigin.startsWith('https:'))
  const sessions = new Sessions({
    rules,
    provider,
    seal,
    names,
    revocations,
    memory: memory.refreshes,
    idle: seconds(login.idle),
    refreshAhead: seconds(login.refreshAhead),
    clock,
    log,
  })
  return new Login({
    publicOrigin,
    path: login.path,
    scopes: login.scopes,
    parameters: login.parameters,
    afterLogout: login.logout.to,
    lifetime: seconds(login.lifetime),
    rules,
    provider,
    seal,
    names,
    sessions,
    used: memory.used,
    guard,
    revocations,
    clock,
    random,
    log,
  })
}

/** Parameters of an authorization request that are not for the config to set. */
const OURS = [
  'client_id',
  'redirect_uri',
  'response_type',
  'response_mode',
  'scope',
  'state',
  'nonce',
  'code_challenge',
  'code_challenge_method',
]

/** What was named, and what the config reads elsewhere; of a path its first name. */
function claimsNeeded(
  named: readonly string[],
  config: IamConfig,
  login: LoginConfig,
): readonly string[] {
  const paths = [...Object.values(login.map), ...Object.values(config.headers.claims)]
  const needed = new Set(named)
  for (const path of paths) {
    if (path === undefined) continue
    needed.add(path)
    needed.add(path.split('.')[0] as string)
  }
  if (login.map.roles === undefined) needed.add('roles')
  return [...needed]
}

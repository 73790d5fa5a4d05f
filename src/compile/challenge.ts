/** The challenge of a config's WAF: its secret, or one that is drawn. */
import type { Report } from '../config/errors.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Platform } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import { Challenge } from '../waf/challenge/challenge.ts'
import type { Waf } from '../waf/waf.ts'

const SECRET_BYTES = 32
const SECTION = 'waf.challenge'

/** A secret that processes share which have no other; drawn once for all of them. */
export interface DrawnSecret {
  readonly bytes: Uint8Array
  /** Whether this process says that it was drawn. */
  readonly isAnnounced: boolean
}

interface Surroundings {
  readonly platform: Platform
  readonly previous?: Snapshot | undefined
  readonly drawnSecret?: DrawnSecret | undefined
}

/** What a running gateway drew, for whoever compiles beside it: a question may show one of its clearances. */
export function drawnSecretOf(snapshot: Snapshot | undefined): DrawnSecret | undefined {
  const options = snapshot?.challenge?.options
  const bytes = options?.isDrawn === true ? options.keys[0] : undefined
  return bytes === undefined ? undefined : { bytes, isAnnounced: false }
}

/**
 * Undefined when neither a rule nor the config asks for challenges.
 * @param warnings for people
 */
export function compileChallenge(
  loaded: LoadedConfig,
  waf: Waf | undefined,
  options: Surroundings,
  warnings: string[],
  report: Report,
): Challenge | undefined {
  const { difficulty, ttl, secret } = loaded.config.waf.challenge
  if (waf === undefined || (!waf.challenges && secret === undefined)) return undefined
  const shared = { difficulty, ttlSeconds: Math.round(ttl / 1000) }
  if (secret !== undefined) {
    const refs = Array.isArray(secret) ? secret : [secret]
    const keys = refs.map((ref) => new TextEncoder().encode(loaded.secrets.get(ref)))
    for (const [i, { length }] of keys.entries()) {
      if (length >= SECRET_BYTES) continue
      const path = Array.isArray(secret) ? `${SECTION}.secret[${i}]` : `${SECTION}.secret`
      report(path, `the secret has ${length} bytes; at least ${SECRET_BYTES} are expected`)
    }
    return new Challenge({ ...shared, keys, isDrawn: false })
  }
  const { platform, previous, drawnSecret } = options
  if (platform.name === 'workers') {
    report(
      SECTION,
      'a rule challenges, and there is no secret that all isolates share',
      `set ${SECTION}.secret, such as {"env": "CHALLENGE_SECRET"}, to at least ${SECRET_BYTES} random bytes`,
    )
  }
  // A reload keeps what was drawn: clearances outlive it.
  const drawn = drawnSecretOf(previous) ?? drawnSecret
  if (drawn?.isAnnounced !== false) {
    warnings.push(
      `${SECTION}.secret is not set: a random one is used, so clearances end with this process and hold on no other node`,
    )
  }
  const keys = [drawn?.bytes ?? platform.random.bytes(SECRET_BYTES)]
  return new Challenge({ ...shared, keys, isDrawn: true })
}

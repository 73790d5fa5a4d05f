/** What stands around the limits: the penalty box, adaptive concurrency, waiting rooms. */
import type { Report } from '../config/errors.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { MeridianConfig } from '../config/schema.ts'
import type { PenaltyBoxConfig } from '../config/sections/limits.ts'
import { hmacSha256 } from '../expression/sha256.ts'
import { CidrSet } from '../http/cidr.ts'
import { encodeBase64Url, utf8 } from '../iam/encoding.ts'
import { AdaptiveConcurrency } from '../limits/adaptive.ts'
import type { Fleet } from '../limits/fleet/fleet-counter.ts'
import { type Penalties, PenaltyBox } from '../limits/penalty-box.ts'
import { WaitingRoom } from '../limits/waiting-room.ts'
import type { Platform } from '../ports.ts'
import type { CompiledConcurrency, CompiledRoom, Snapshot } from '../snapshot.ts'
import type { Expressions } from './expressions.ts'

const SECRET_BYTES = 32
const KEY_SECRET_BYTES = 16

interface Surroundings {
  readonly platform: Platform
  readonly previous?: Snapshot | undefined
  readonly rehearsal?: { readonly penaltyBox?: Penalties | undefined } | undefined
}

/** Whether there is something that limits can be counted in together with other gateways. */
export function canShare(
  { config, secrets }: LoadedConfig,
  options: { readonly fleet?: Fleet | undefined; readonly canShare?: boolean | undefined },
  report: Report,
): boolean {
  const { redis, iam } = config
  if (redis?.keySecret !== undefined) {
    const { length } = utf8(secrets.get(redis.keySecret))
    if (length < KEY_SECRET_BYTES) {
      report('redis.keySecret', `the secret has ${length} bytes; at least 16 are expected`)
    }
  }
  // A server that a reload brings is not connected to: what relies on it must not seem to work.
  if (options.canShare === false && redis !== undefined && iam?.revocations?.shared === true) {
    report('iam.revocations.shared', 'the section "redis" is read at the start', 'restart')
  }
  return options.canShare ?? (redis !== undefined || options.fleet !== undefined)
}

/** Trusted proxies are nobody's client: shutting one out would shut out all behind it. */
export function compilePenaltyBox(
  config: PenaltyBoxConfig | undefined,
  trusted: CidrSet,
  { platform, previous, rehearsal }: Surroundings,
): Penalties | undefined {
  if (config === undefined) return undefined
  const live = rehearsal?.penaltyBox
  if (live !== undefined) {
    return { blockedFor: (ip) => live.blockedFor(ip), record: () => false, size: 0 }
  }
  const exempt = CidrSet.of(config.exempt)
  const before = previous?.penaltyBox
  return new PenaltyBox(
    config,
    platform.clock,
    platform.random.bytes(16),
    (ip) => trusted.contains(ip) || exempt.contains(ip),
    before instanceof PenaltyBox ? before : undefined,
  )
}

/** One limit for each pool, which goes on over reloads. */
export function compileConcurrency(
  { concurrency, pools }: MeridianConfig,
  expressions: Expressions,
  previous: CompiledConcurrency | undefined,
  report: Report,
): CompiledConcurrency | undefined {
  const classes: CompiledConcurrency['classes'][number][] = []
  for (const [i, { when, priority }] of concurrency.priorities.entries()) {
    const test = expressions.condition(when, `concurrency.priorities[${i}].when`, report)
    if (test !== undefined) classes.push({ when: test, priority })
  }
  if (concurrency.mode === 'off') return undefined
  const limits = new Map<string, AdaptiveConcurrency>()
  for (const id of Object.keys(pools)) {
    limits.set(id, new AdaptiveConcurrency(concurrency, previous?.pools.get(id)))
  }
  return { pools: limits, classes }
}

export function compileRooms(
  loaded: LoadedConfig,
  expressions: Expressions,
  { platform, previous }: Surroundings,
  report: Report,
): CompiledRoom[] {
  return loaded.config.waitingRooms.map((config, i) => {
    const { id, admitPerSecond, session } = config
    const path = `waitingRooms[${i}]`
    const key = utf8(loaded.secrets.get(config.secret))
    if (key.length < SECRET_BYTES) {
      report(`${path}.secret`, `the secret has ${key.length} bytes; at least 32 are expected`)
    }
    const opensAt = config.opensAt === undefined ? 0 : Date.parse(config.opensAt)
    const closesAt =
      config.closesAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(config.closesAt)
    if (closesAt <= opensAt) report(`${path}.closesAt`, 'the room closes before it opens')
    const room = new WaitingRoom(
      {
        id,
        admitPerSecond,
        sessionMs: session,
        opensAt,
        sign: (text) => encodeBase64Url(hmacSha256(key, utf8(text))),
        random: () => platform.random.next(),
      },
      previous?.rooms.find((other) => other.id === id)?.room,
    )
    return {
      id,
      cookie: `meridian-room-${id}`,
      when:
        config.when === undefined
          ? undefined
          : expressions.condition(config.when, `${path}.when`, report),
      opensAt,
      closesAt,
      sessionSeconds: Math.round(session / 1000),
      room,
    }
  })
}

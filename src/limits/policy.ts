/**
 * Limit policies, compiled: the config's words become an algorithm with its table, a key, a condition and
 * a cost. Everything that can be wrong is reported here; afterwards nothing can fail.
 */
import type { Report } from '../config/errors.ts'
import type { LimitConfig } from '../config/sections/limits.ts'
import type { Exchange, Millis } from '../exchange.ts'
import type { Algorithm } from './algorithm.ts'
import { Calendar, CalendarPeriods, FixedPeriods } from './calendar.ts'
import { Concurrency } from './concurrency.ts'
import { Exact, MAX_EXACT_LIMIT } from './exact.ts'
import { type Fleet, FleetCounter } from './fleet/fleet-counter.ts'
import { compileFleet, type FleetPolicy } from './fleet/fleet-policy.ts'
import { Gcra } from './gcra.ts'
import { compileKeyPart, type ExpressionCompiler, type KeyPart, needsIdentity } from './key.ts'
import { Sliding } from './sliding.ts'
import { TwoWindow } from './two-window.ts'
import { UntilTable } from './until-table.ts'

export type Phase = 'address' | 'identity' | 'origin'

const DEFAULT_SLOTS = 131_072
const DEFAULT_EXACT_SLOTS = 16_384
export const MAX_COST = 1_000_000

export interface Policy {
  readonly id: string
  readonly scope: 'global' | 'route'
  readonly algorithm: Algorithm
  /** Of a limit that the fleet counts together; it takes part in no check of the process's own. */
  readonly fleet: FleetPolicy | undefined
  /** The algorithm's, here because the objects of a policy all have one shape. */
  readonly quota: number
  readonly followsWallClock: boolean
  /** In which check it takes part. */
  readonly phase: Phase
  /** Only looked at in its check and charged by `settle`, when the status is known. */
  readonly countsResponses: boolean
  readonly countStatus: readonly number[] | undefined
  readonly key: readonly KeyPart[]
  /** The key is the client's address and nothing else: its hash may be known. */
  readonly isByAddress: boolean
  readonly onMissing: 'skip' | 'shared' | 'deny'
  readonly when: ((x: Exchange) => boolean) | undefined
  readonly cost: number | ((x: Exchange) => unknown)
  readonly costHeader: string | undefined
  readonly refundOnError: boolean
  readonly enforced: boolean
  readonly status: 403 | 429 | 503
  /** Whether a key is one client's or caller's own: what it does over the limit is its doing. */
  readonly isPersonal: boolean
  readonly mitigationMs: Millis
  readonly mitigations: UntilTable | undefined
  /** Whether a check is a look and a charge: no condition, no clock of its own, nothing to keep. */
  readonly isPlain: boolean
  /** The algorithm, when it is this one: a call that can be told at compile time is a third of one that cannot. */
  readonly gcra: Gcra | undefined
  /** Whether the charge has to be kept: a release, a refund or a difference may follow. */
  readonly keepsCharge: boolean
  /** The RateLimit-Policy item, and the RateLimit item up to the number of units left. */
  readonly policyItem: string | undefined
  readonly stateItem: string
  /** Equal for policies whose state may be carried over a reload. */
  readonly identity: string
}

export interface CompileContext {
  readonly report: Report
  readonly expressions?: ExpressionCompiler | undefined
  /** Monotonic time now. */
  readonly startedAt: Millis
  /** Keys compiled so far, by their config: equal keys are one. */
  readonly keys: Map<string, readonly KeyPart[]>
  /** Counts what is shared; undefined where nothing is served. */
  readonly fleet?: Fleet | undefined
  /** Whether there is something to count in together. */
  readonly canShare: boolean
  /** Phases with a shared limit, whose denial takes back what the process's own have charged. */
  readonly sharedPhases: ReadonlySet<string>
}

/** A cost outside its range, or one that is not a whole number, counts as 1: it must not poison a table. */
export function costOf(policy: Policy, x: Exchange): number {
  if (typeof policy.cost === 'number') return policy.cost
  const value = Number(policy.cost(x))
  return Number.isInteger(value) && value >= 1 && value <= MAX_COST ? value : 1
}

/** In which check a limit of this config takes part. */
export function phaseOf(config: LimitConfig): Phase {
  if (config.phase !== 'response') return config.phase
  return config.key.some(needsIdentity) ? 'identity' : 'address'
}

/** @returns undefined after a reported problem */
export function compilePolicy(
  config: LimitConfig,
  path: string,
  context: CompileContext,
): Policy | undefined {
  const { report, expressions } = context
  const { algorithm, fleet } = compileCounter(config, path, context)
  const key = compileKey(config, path, context)
  if (key === undefined) return undefined
  const isByIdentity = config.key.some(needsIdentity)
  if (config.phase === 'address' && isByIdentity) {
    report(
      `${path}.phase`,
      'the key needs an identity, which is not known in phase address',
      'use phase "identity"',
    )
  }
  if (config.countStatus !== undefined && config.phase !== 'response') {
    report(`${path}.countStatus`, 'statuses are counted only in phase "response"')
  }
  if (config.phase === 'response' && config.algorithm === 'concurrency') {
    report(`${path}.phase`, 'concurrency cannot be counted when the response is there')
  }
  for (const [i, part] of config.key.entries()) {
    const isUserChosen = typeof part === 'string' && /^(header|cookie|query):/.test(part)
    if (isUserChosen && config.key.length === 1) {
      report(
        `${path}.key[${i}]`,
        'a value that the client picks freely cannot be the whole key',
        'add "ip" or another part to the key',
      )
    }
  }
  let when: Policy['when']
  let cost: Policy['cost'] = 1
  if (config.when !== undefined) {
    when = expressions?.condition(config.when, `${path}.when`, report)
    if (expressions === undefined) report(`${path}.when`, 'expressions are not available here')
    if (when === undefined) return undefined
  }
  if (typeof config.cost === 'number') {
    cost = config.cost
  } else {
    const computed = expressions?.value(config.cost, `${path}.cost`, report)
    if (expressions === undefined) report(`${path}.cost`, 'expressions are not available here')
    if (computed === undefined) return undefined
    cost = computed
  }
  if (algorithm === undefined) return undefined

  const countsResponses = config.phase === 'response'
  const unit = config.algorithm === 'concurrency' ? ';qu="concurrent-requests"' : ''
  const window = algorithm.windowSeconds === 0 ? '' : `;w=${algorithm.windowSeconds}`
  const mitigationMs = config.mitigation ?? 0
  const keepsCharge =
    !countsResponses &&
    (algorithm.release !== undefined ||
      config.costHeader !== undefined ||
      config.refundOnError ||
      (fleet === undefined && context.sharedPhases.has(phaseOf(config))))
  return {
    id: config.id,
    scope: config.scope,
    algorithm,
    fleet,
    quota: algorithm.quota,
    followsWallClock: algorithm.clock === 'wall',
    phase: phaseOf(config),
    countsResponses,
    countStatus: config.countStatus,
    key,
    isByAddress: config.key.length === 1 && config.key[0] === 'ip',
    gcra: algorithm instanceof Gcra ? algorithm : undefined,
    onMissing: config.onMissing ?? (config.phase === 'identity' ? 'deny' : 'skip'),
    when,
    cost,
    costHeader: config.costHeader,
    refundOnError: config.refundOnError,
    enforced: config.action === 'block',
    status: config.status,
    isPersonal: config.key.some(
      (part) => typeof part === 'string' && (part === 'principal' || /^ip(\/|$)/.test(part)),
    ),
    mitigationMs,
    mitigations:
      mitigationMs === 0 || fleet !== undefined
        ? undefined
        : new UntilTable(config.slots ?? DEFAULT_EXACT_SLOTS),
    isPlain:
      when === undefined &&
      typeof cost === 'number' &&
      algorithm.clock === 'monotonic' &&
      mitigationMs === 0 &&
      config.action === 'block' &&
      !countsResponses &&
      !keepsCharge,
    keepsCharge,
    policyItem: config.headers ? `"${config.id}";q=${algorithm.quota}${window}${unit}` : undefined,
    stateItem: `"${config.id}";r=`,
    identity: `${config.id} ${config.algorithm} ${JSON.stringify(config.key)}`,
  }
}

/** What counts: a table of the process, or the fleet. Undefined after a reported problem. */
function compileCounter(
  config: LimitConfig,
  path: string,
  context: CompileContext,
): { algorithm: Algorithm | undefined; fleet: FleetPolicy | undefined } {
  const { report } = context
  if (config.shared === undefined) {
    return { algorithm: compileAlgorithm(config, path, context), fleet: undefined }
  }
  const nothing = { algorithm: undefined, fleet: undefined }
  if (config.algorithm === 'concurrency') {
    report(
      `${path}.shared`,
      'requests under way are counted by each process on its own',
      'leave it out, or limit their rate',
    )
    return nothing
  }
  if (!context.canShare) {
    report(
      `${path}.shared`,
      'there is no server to count in together',
      'describe one in the section "redis" and restart, or leave this out',
    )
  }
  const template = compileAlgorithm({ ...config, slots: 1 }, path, context)
  if (template === undefined) return nothing
  const smaller = (limit: number, burst: number | undefined, startedAt: Millis) =>
    compileAlgorithm({ ...config, limit, burst }, path, { ...context, startedAt }) ?? template
  const fleet = compileFleet(config, path, template, smaller, report)
  if (fleet === undefined) return nothing
  const refusal = context.fleet?.refuses(config.id, fleet)
  if (refusal !== undefined) report(`${path}.shared`, refusal)
  return { algorithm: new FleetCounter(config.id, fleet, template, context.fleet), fleet }
}

/** @returns undefined after a reported problem */
export function compileKey(
  config: LimitConfig,
  path: string,
  { report, expressions, keys }: CompileContext,
): readonly KeyPart[] | undefined {
  const name = JSON.stringify(config.key)
  const known = keys.get(name)
  if (known !== undefined) return known
  const parts: KeyPart[] = []
  for (const [i, part] of config.key.entries()) {
    const compiled = compileKeyPart(part, `${path}.key[${i}]`, report, expressions)
    if (compiled === undefined) return undefined
    parts.push(compiled)
  }
  keys.set(name, parts)
  return parts
}

function compileAlgorithm(
  config: LimitConfig,
  path: string,
  { report, startedAt }: CompileContext,
): Algorithm | undefined {
  const { limit } = config
  const slots = config.slots ?? DEFAULT_SLOTS
  const isWindowless = config.algorithm === 'calendar' || config.algorithm === 'concurrency'
  if (isWindowless && config.window !== undefined) {
    report(`${path}.window`, `"${config.algorithm}" has no window`)
  }
  if (!isWindowless && config.window === undefined) {
    report(`${path}.window`, 'a window is required', 'for example "window": "60s"')
    return undefined
  }
  if (config.burst !== undefined && config.algorithm !== 'gcra') {
    report(`${path}.burst`, `"${config.algorithm}" has no burst`)
  }
  const windowMs = config.window ?? 0
  switch (config.algorithm) {
    case 'gcra': {
      if (limit > windowMs * 1000) {
        report(`${path}.limit`, 'more than 1,000,000 units a second are not counted')
        return undefined
      }
      const burst = config.burst ?? Math.max(1, Math.floor(limit / 10))
      return new Gcra({ limit, windowMs, burst, slots, startedAt })
    }
    case 'sliding':
      if (windowMs < config.segments) {
        report(`${path}.segments`, 'a segment is at least a millisecond long')
        return undefined
      }
      return new Sliding({ limit, windowMs, segments: config.segments, slots })
    case 'two-window':
      if (limit * windowMs > Number.MAX_SAFE_INTEGER) {
        report(`${path}.limit`, 'limit and window together are too large for exact counting')
        return undefined
      }
      return new TwoWindow({ limit, windowMs, slots })
    case 'exact':
      if (limit > MAX_EXACT_LIMIT) {
        report(
          `${path}.limit`,
          `"exact" keeps each request; its limit is at most ${MAX_EXACT_LIMIT}`,
          'use "sliding" for larger limits',
        )
        return undefined
      }
      return new Exact({ limit, windowMs, slots: config.slots ?? DEFAULT_EXACT_SLOTS })
    case 'fixed':
      return new Calendar({ limit, periods: new FixedPeriods(windowMs), slots })
    case 'calendar':
      if (config.period === undefined) {
        report(`${path}.period`, 'a period is required', '"hour", "day", "week" or "month"')
        return undefined
      }
      try {
        const periods = new CalendarPeriods(config.period, config.timeZone)
        return new Calendar({ limit, periods, slots })
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        report(`${path}.timeZone`, `"${config.timeZone}" is not a time zone`)
        return undefined
      }
    case 'concurrency':
      return new Concurrency(limit)
    case 'bandwidth':
      // Counted on the response's bytes by `bandwidth.ts`; not a policy of a check.
      return undefined
  }
}

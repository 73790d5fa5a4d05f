/** The metrics of the catalogue, and how one request record counts in them. */
import type { RegionsConfig } from '../config/sections/regions.ts'
import type { Attempt, Verdict } from '../exchange.ts'
import { CATALOGUE } from './catalogue.ts'
import { type CostCounters, CostMeter } from './cost-meter.ts'
import { MetricsRegistry, type MetricsSnapshot } from './metrics.ts'
import { METHODS, type RequestRecord } from './record.ts'

/** What the runtime knows of its process; read at each scrape. */
export interface ProcessFacts {
  readonly cpuSeconds: number
  readonly residentBytes: number
  readonly heapUsedBytes: number
  /** Seconds since the epoch. */
  readonly startedAt: number
  /** 99th percentile since the last call, seconds. */
  readonly loopDelaySeconds: number
  /** Share of time that the event loop was busy, 0 to 1. */
  readonly loadRatio: number
  readonly openConnections: number
}

/** What a tier of the cache knows of itself. */
export interface TierFacts {
  readonly entries: number
  readonly bytes: number
  readonly evicted: number
  readonly rejected: number
}

/** What the cache counts itself; read at each scrape. */
export interface CacheFacts {
  readonly memory: TierFacts
  readonly lower: readonly (TierFacts & { readonly name: string })[]
  readonly collapsed: number
  readonly fills: number
  readonly fillsFailed: number
  readonly fillingBytes: number
  readonly hitForMiss: number
  readonly purges: number
  readonly invalidations: number
  readonly epochs: number
}

/** Label value for "does not apply". */
const NONE = 'none'

function orNone(text: string): string {
  return text === '' ? NONE : text
}

export class GatewayMetrics {
  readonly registry: MetricsRegistry
  readonly #requests
  readonly #duration
  readonly #requestBytes
  readonly #responseBytes
  readonly #problems
  readonly #aborted
  readonly #attempts
  readonly #attemptDuration
  readonly #failovers
  readonly #costs: CostMeter
  readonly #retryBudgetEmpty
  readonly #heldRequests
  readonly #hedges
  readonly compressed
  readonly compressionSaved
  readonly mirrored
  readonly rolloutRequests
  readonly rolloutPercent
  readonly rolloutCommands
  readonly #wafMatches
  readonly challenges
  readonly logins
  /** Reused for each look-up; `slot` does not keep them. */
  readonly #labels5: [string, string, string, string, string] = ['', '', '', '', '']
  readonly #labels3: [string, string, string] = ['', '', '']
  readonly #labels2: [string, string] = ['', '']
  readonly #label: [string] = ['']

  readonly inFlight
  readonly limitDecisions
  readonly limitKeys
  readonly limitDisplaced
  readonly bandwidthWait
  readonly penaltyEvents
  readonly penaltyTerms
  readonly penaltiesShared
  readonly penaltyClients
  readonly threatAnomalies
  readonly threatsNow
  readonly concurrencyLimit
  readonly concurrencyInFlight
  readonly concurrencyShed
  readonly roomVisits
  readonly roomQueue
  readonly healthTransitions
  readonly healthProbes
  readonly fleetReports
  readonly fleetGateways
  readonly nameResolutions
  readonly originHealthy
  readonly regionHealthy
  readonly regionDrained
  readonly cacheEntries
  readonly cacheBytes
  readonly #cache
  readonly #cacheServedBytes
  readonly limitShared
  readonly limitLeased
  readonly limitReturned
  readonly limitUntold
  readonly limitGateways
  readonly revocations
  readonly revocationsAge
  readonly cacheShield
  readonly cacheRedisLookups
  readonly cacheRedisRejected
  readonly cacheReserveLookups
  readonly cacheReserveWrites
  readonly cacheFleetPurges
  readonly cacheFleetWaiting
  readonly redisUp
  readonly redisCommands
  readonly redisDuration
  readonly configReloads
  readonly configSuccess
  readonly configTimestamp
  readonly geoAge
  readonly logLines
  readonly logSampledOut
  readonly logDropped
  readonly alerts
  readonly analyticsRecords
  readonly analyticsDropped
  readonly otlpSent
  readonly otlpDropped
  readonly otlpRetries
  readonly otlpWaiting
  readonly analyticsCompacted
  readonly analyticsUnreadable
  readonly analyticsUploads
  readonly analyticsRemoved
  readonly analyticsFailures
  readonly events
  readonly liveSubscribers
  readonly liveDropped

  constructor(
    maxSeries: number,
    build: { readonly version: string; readonly runtime: string },
    process?: () => ProcessFacts,
  ) {
    const registry = new MetricsRegistry(maxSeries)
    this.registry = registry
    this.#requests = registry.scalar(CATALOGUE.requests)
    this.#duration = registry.histogram(CATALOGUE.duration)
    this.#requestBytes = registry.scalar(CATALOGUE.requestBytes)
    this.#responseBytes = registry.scalar(CATALOGUE.responseBytes)
    this.#problems = registry.scalar(CATALOGUE.problems)
    this.#aborted = registry.scalar(CATALOGUE.aborted)
    this.inFlight = registry.scalar(CATALOGUE.inFlight)
    this.#attempts = registry.scalar(CATALOGUE.attempts)
    this.#attemptDuration = registry.histogram(CATALOGUE.attemptDuration)
    this.#failovers = registry.scalar(CATALOGUE.failovers)
    const costs: CostCounters = {
      egressBytes: registry.scalar(CATALOGUE.egressBytes),
      cost: registry.scalar(CATALOGUE.regionCost),
      saved: registry.scalar(CATALOGUE.costSaved),
    }
    this.#costs = new CostMeter(costs)
    this.#retryBudgetEmpty = registry.scalar(CATALOGUE.retryBudgetEmpty)
    this.#heldRequests = registry.scalar(CATALOGUE.heldRequests)
    this.#hedges = registry.scalar(CATALOGUE.hedges)
    this.compressed = registry.scalar(CATALOGUE.compressed)
    this.compressionSaved = registry.scalar(CATALOGUE.compressionSaved)
    this.mirrored = registry.scalar(CATALOGUE.mirrored)
    this.rolloutRequests = registry.scalar(CATALOGUE.rolloutRequests)
    this.rolloutPercent = registry.scalar(CATALOGUE.rolloutPercent)
    this.rolloutCommands = registry.scalar(CATALOGUE.rolloutCommands)
    this.#wafMatches = registry.scalar(CATALOGUE.wafMatches)
    this.challenges = registry.scalar(CATALOGUE.challenges)
    this.logins = registry.scalar(CATALOGUE.logins)
    this.limitDecisions = registry.scalar(CATALOGUE.limitDecisions)
    this.limitKeys = registry.scalar(CATALOGUE.limitKeys)
    this.limitDisplaced = registry.scalar(CATALOGUE.limitDisplaced)
    this.bandwidthWait = registry.scalar(CATALOGUE.bandwidthWait)
    this.penaltyEvents = registry.scalar(CATALOGUE.penaltyEvents)
    this.penaltyTerms = registry.scalar(CATALOGUE.penaltyTerms)
    this.penaltiesShared = registry.scalar(CATALOGUE.penaltiesShared)
    this.penaltyClients = registry.scalar(CATALOGUE.penaltyClients)
    this.threatAnomalies = registry.scalar(CATALOGUE.threatAnomalies)
    this.threatsNow = registry.scalar(CATALOGUE.threatsNow)
    this.concurrencyLimit = registry.scalar(CATALOGUE.concurrencyLimit)
    this.concurrencyInFlight = registry.scalar(CATALOGUE.concurrencyInFlight)
    this.concurrencyShed = registry.scalar(CATALOGUE.concurrencyShed)
    this.roomVisits = registry.scalar(CATALOGUE.roomVisits)
    this.roomQueue = registry.scalar(CATALOGUE.roomQueue)
    this.healthTransitions = registry.scalar(CATALOGUE.healthTransitions)
    this.healthProbes = registry.scalar(CATALOGUE.healthProbes)
    this.fleetReports = registry.scalar(CATALOGUE.fleetReports)
    this.fleetGateways = registry.scalar(CATALOGUE.fleetGateways)
    this.nameResolutions = registry.scalar(CATALOGUE.nameResolutions)
    this.originHealthy = registry.scalar(CATALOGUE.originHealthy)
    this.regionHealthy = registry.scalar(CATALOGUE.regionHealthy)
    this.regionDrained = registry.scalar(CATALOGUE.regionDrained)
    this.cacheEntries = registry.scalar(CATALOGUE.cacheEntries)
    this.cacheBytes = registry.scalar(CATALOGUE.cacheBytes)
    this.#cache = {
      evictions: registry.scalar(CATALOGUE.cacheEvictions),
      rejections: registry.scalar(CATALOGUE.cacheRejections),
      collapsed: registry.scalar(CATALOGUE.cacheCollapsed),
      fills: registry.scalar(CATALOGUE.cacheFills),
      fillsFailed: registry.scalar(CATALOGUE.cacheFillsFailed),
      filling: registry.scalar(CATALOGUE.cacheFilling),
      hitForMiss: registry.scalar(CATALOGUE.cacheHitForMiss),
      purges: registry.scalar(CATALOGUE.cachePurges),
      invalidations: registry.scalar(CATALOGUE.cacheInvalidations),
      epochs: registry.scalar(CATALOGUE.cacheEpochs),
    }
    this.#cacheServedBytes = registry.scalar(CATALOGUE.cacheServedBytes)
    this.limitShared = registry.scalar(CATALOGUE.limitShared)
    this.limitLeased = registry.scalar(CATALOGUE.limitLeased)
    this.limitReturned = registry.scalar(CATALOGUE.limitReturned)
    this.limitUntold = registry.scalar(CATALOGUE.limitUntold)
    this.limitGateways = registry.scalar(CATALOGUE.limitGateways)
    this.revocations = registry.scalar(CATALOGUE.revocations)
    this.revocationsAge = registry.scalar(CATALOGUE.revocationsAge)
    this.cacheShield = registry.scalar(CATALOGUE.cacheShield)
    this.cacheRedisLookups = registry.scalar(CATALOGUE.cacheRedisLookups)
    this.cacheRedisRejected = registry.scalar(CATALOGUE.cacheRedisRejected)
    this.cacheReserveLookups = registry.scalar(CATALOGUE.cacheReserveLookups)
    this.cacheReserveWrites = registry.scalar(CATALOGUE.cacheReserveWrites)
    this.cacheFleetPurges = registry.scalar(CATALOGUE.cacheFleetPurges)
    this.cacheFleetWaiting = registry.scalar(CATALOGUE.cacheFleetWaiting)
    this.redisUp = registry.scalar(CATALOGUE.redisUp)
    this.redisCommands = registry.scalar(CATALOGUE.redisCommands)
    this.redisDuration = registry.histogram(CATALOGUE.redisDuration)
    this.configReloads = registry.scalar(CATALOGUE.configReloads)
    this.configSuccess = registry.scalar(CATALOGUE.configSuccess)
    this.configTimestamp = registry.scalar(CATALOGUE.configTimestamp)
    this.geoAge = registry.scalar(CATALOGUE.geoAge)
    this.logLines = registry.scalar(CATALOGUE.logLines)
    this.logSampledOut = registry.scalar(CATALOGUE.logSampledOut)
    this.logDropped = registry.scalar(CATALOGUE.logDropped)
    this.alerts = registry.scalar(CATALOGUE.alerts)
    this.analyticsRecords = registry.scalar(CATALOGUE.analyticsRecords)
    this.analyticsDropped = registry.scalar(CATALOGUE.analyticsDropped)
    this.otlpSent = registry.scalar(CATALOGUE.otlpSent)
    this.otlpDropped = registry.scalar(CATALOGUE.otlpDropped)
    this.otlpRetries = registry.scalar(CATALOGUE.otlpRetries)
    this.otlpWaiting = registry.scalar(CATALOGUE.otlpWaiting)
    // Counted by whoever has the control port: a worker process has none.
    registry.scalar(CATALOGUE.auditEvents)
    registry.scalar(CATALOGUE.auditPending)
    registry.scalar(CATALOGUE.auditLost)
    this.analyticsCompacted = registry.scalar(CATALOGUE.analyticsCompacted)
    this.analyticsUnreadable = registry.scalar(CATALOGUE.analyticsUnreadable)
    this.analyticsUploads = registry.scalar(CATALOGUE.analyticsUploads)
    this.analyticsRemoved = registry.scalar(CATALOGUE.analyticsRemoved)
    this.analyticsFailures = registry.scalar(CATALOGUE.analyticsFailures)
    this.events = registry.scalar(CATALOGUE.events)
    this.liveSubscribers = registry.scalar(CATALOGUE.liveSubscribers)
    this.liveDropped = registry.scalar(CATALOGUE.liveDropped)
    const series = registry.scalar(CATALOGUE.series)
    const overflow = registry.scalar(CATALOGUE.seriesOverflow)
    registry.scalar(CATALOGUE.build).set([build.version, build.runtime], 1)
    this.inFlight.set([], 0)
    registry.onCollect(() => {
      for (const { name, folded } of registry.foldedByFamily()) {
        overflow.setTotal([name], folded)
      }
      series.set([], registry.seriesUsed)
    })
    if (process !== undefined) this.#collectProcess(process)
  }

  /** What attempts count besides themselves. */
  readonly upstream = {
    budgetEmpty: (pool: string): void => this.#retryBudgetEmpty.add([pool]),
    held: (outcome: 'served' | 'failed' | 'full'): void => this.#heldRequests.add([outcome]),
    hedged: (outcome: 'won' | 'lost' | 'refused'): void => this.#hedges.add([outcome]),
  }

  #collectProcess(read: () => ProcessFacts): void {
    const { registry } = this
    const cpu = registry.scalar(CATALOGUE.processCpu)
    const memory = registry.scalar(CATALOGUE.processMemory)
    const heap = registry.scalar(CATALOGUE.processHeap)
    const start = registry.scalar(CATALOGUE.processStart)
    const delay = registry.scalar(CATALOGUE.loopDelay)
    const load = registry.scalar(CATALOGUE.load)
    const connections = registry.scalar(CATALOGUE.connections)
    registry.onCollect(() => {
      const facts = read()
      cpu.setTotal([], facts.cpuSeconds)
      memory.set([], facts.residentBytes)
      heap.set([], facts.heapUsedBytes)
      start.set([], facts.startedAt)
      delay.set([], facts.loopDelaySeconds)
      load.set([], facts.loadRatio)
      connections.set([], facts.openConnections)
    })
  }

  /** Prices from now on; what has been counted stays. */
  price(regions: RegionsConfig): void {
    this.#costs.price(regions)
  }

  /** Counts one finished request. */
  observe(record: RequestRecord): void {
    const route = orNone(record.route)
    const five = this.#labels5
    five[0] = route
    five[1] = METHODS.has(record.method) ? record.method : '_OTHER'
    five[2] = record.statusClass
    five[3] = orNone(record.cache)
    five[4] = orNone(record.region)
    this.#requests.addAt(this.#requests.slot(five))
    const two = this.#labels2
    two[0] = route
    two[1] = record.statusClass
    this.#duration.observeAt(this.#duration.slot(two), record.durationMs / 1000)
    const one = this.#label
    one[0] = route
    if (record.bytesIn > 0) {
      this.#requestBytes.addAt(this.#requestBytes.slot(one), record.bytesIn)
    }
    if (record.bytesOut > 0) {
      this.#responseBytes.addAt(this.#responseBytes.slot(one), record.bytesOut)
    }
    if (record.cache !== '' && record.bytesOut > 0) {
      two[1] = record.cache
      this.#cacheServedBytes.addAt(this.#cacheServedBytes.slot(two), record.bytesOut)
    }
    this.#costs.observe(record)
    if (record.aborted) this.#aborted.addAt(this.#aborted.slot(one))
    if (record.outcome !== 'served') {
      one[0] = record.outcome
      this.#problems.addAt(this.#problems.slot(one))
    }
    if (record.attempts.length > 0) this.#observeAttempts(record.attempts)
    if (record.verdicts.length > 0) this.#observeVerdicts(record.verdicts)
    if (record.wasCleared) this.challenges.add(['passed', NONE])
  }

  #observeAttempts(attempts: readonly Attempt[]): void {
    const three = this.#labels3
    const one = this.#label
    for (let i = 0; i < attempts.length; i++) {
      const attempt = attempts[i] as Attempt
      three[0] = attempt.region
      three[1] = attempt.pool
      three[2] = attempt.outcome
      this.#attempts.addAt(this.#attempts.slot(three))
      one[0] = attempt.region
      this.#attemptDuration.observeAt(this.#attemptDuration.slot(one), attempt.durationMs / 1000)
    }
    const first = attempts[0] as Attempt
    const last = attempts[attempts.length - 1] as Attempt
    if (last.region !== first.region && last.outcome === 'ok') {
      this.#failovers.add([first.region, last.region])
    }
  }

  #observeVerdicts(verdicts: readonly Verdict[]): void {
    const two = this.#labels2
    for (let i = 0; i < verdicts.length; i++) {
      const verdict = verdicts[i] as Verdict
      if (verdict.isCleared === true) {
        this.#wafMatches.add([verdict.rule, 'cleared'])
        continue
      }
      const acts = verdict.action === 'block' || verdict.action === 'challenge'
      two[0] = verdict.rule
      two[1] = acts && !verdict.enforced ? 'simulated' : verdict.action
      this.#wafMatches.addAt(this.#wafMatches.slot(two))
    }
  }

  /** Takes over what the cache has counted; at each scrape. */
  observeCache(facts: CacheFacts): void {
    const { filling, epochs } = this.#cache
    this.#observeTier('memory', facts.memory)
    for (const tier of facts.lower) this.#observeTier(tier.name, tier)
    this.#cache.collapsed.setTotal([], facts.collapsed)
    this.#cache.fills.setTotal([], facts.fills)
    this.#cache.fillsFailed.setTotal([], facts.fillsFailed)
    this.#cache.hitForMiss.setTotal([], facts.hitForMiss)
    this.#cache.purges.setTotal([], facts.purges)
    this.#cache.invalidations.setTotal([], facts.invalidations)
    filling.set([], facts.fillingBytes)
    epochs.set([], facts.epochs)
  }

  #observeTier(tier: string, { entries, bytes, evicted, rejected }: TierFacts): void {
    this.cacheEntries.set([tier], entries)
    this.cacheBytes.set([tier], bytes)
    this.#cache.evictions.setTotal([tier], evicted)
    this.#cache.rejections.setTotal([tier], rejected)
  }

  snapshot(): MetricsSnapshot {
    return this.registry.snapshot()
  }
}

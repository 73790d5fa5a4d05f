/**
 * One request's way through the WAF: head, body, response head, end. Synchronous; the caller reads the body
 * between the steps, as many bytes as the pass asks for.
 */
import type { BodyPrefix, HeaderList, Verdict } from '../exchange.ts'
import type { Subject } from '../expression/expression.ts'
import type { DecodedBytes } from '../ports.ts'
import { invalidity, isJudged } from './body/validity.ts'
import { InspectedBody } from './body/view.ts'
import { bytesToString } from './bytes.ts'
import { DATA_LEAK, findLeaks, LEAK_TARGET, type LeakKind } from './detect/leak.ts'
import type { Interruption, RuleMatch, Transaction } from './engine/transaction.ts'
import { maskedMatch } from './mask.ts'
import { isInspectable, ResponseWindow } from './response-window.ts'
import type { CompiledNativeRule } from './rules/native.ts'
import type { WafTrace } from './trace.ts'
import type { RouteWaf } from './waf.ts'

/** How the request ends, by the WAF's word. */
export interface WafBlock {
  readonly kind: 'block' | 'challenge' | 'redirect'
  readonly status: number
  /** Id of the rule, for the record; never for the client. */
  readonly rule: string
  readonly ruleset: string
  readonly body?: { readonly contentType: string; readonly text: string } | undefined
  /** For redirect. */
  readonly location?: string | undefined
}

/** Whether the client has solved a challenge; asked only when a rule that challenges has matched. */
export interface Clearance {
  readonly isCleared: boolean
}

const NO_VERDICTS: readonly Verdict[] = Object.freeze([])
/** A request that sets off everything must not fill the log. */
const MAX_VERDICTS = 64
/** A few bytes may become this many whatever the ratio: empty rows and spaces compress well. */
const MIN_EXPANDED = 16 * 1024

export class WafPass {
  readonly #route: RouteWaf
  readonly #subject: Subject
  readonly #isSimulated: boolean
  readonly #exclusions: readonly number[] | undefined
  readonly #excepted: ReadonlySet<CompiledNativeRule> | undefined
  readonly #clearance: Clearance | undefined
  readonly #excusedLeaks: ReadonlySet<LeakKind> | undefined
  readonly #trace: WafTrace | undefined
  #verdicts: Verdict[] | undefined
  #transaction: Transaction | undefined
  #reported = 0
  #next = 0
  #score = 0
  /** What is left out, and the rule that says so. */
  #skipped: Map<string, string> | undefined
  #skipsRequest = false
  #skipsResponse = false
  #isAllowed = false
  #isScored = false
  #hasLeak = false
  #block: WafBlock | undefined

  constructor(
    route: RouteWaf,
    subject: Subject,
    isSimulated: boolean,
    exclusions: readonly number[] | undefined,
    excepted: ReadonlySet<CompiledNativeRule> | undefined,
    clearance: Clearance | undefined,
    excusedLeaks: ReadonlySet<LeakKind> | undefined,
    trace: WafTrace | undefined,
  ) {
    this.#route = route
    this.#subject = subject
    this.#isSimulated = isSimulated
    this.#exclusions = exclusions
    this.#excepted = excepted
    this.#clearance = clearance
    this.#excusedLeaks = excusedLeaks
    this.#trace = trace
  }

  /** What was found so far, in order. */
  get verdicts(): readonly Verdict[] {
    return this.#verdicts ?? NO_VERDICTS
  }

  /** The engine's anomaly scores and TX variables, for tests and `explain`; undefined without a CRS. */
  get transaction(): Transaction | undefined {
    return this.#transaction
  }

  /**
   * Inspects the head. Afterwards `bodyBytes` says whether the body is wanted.
   * @returns how the request ends, or undefined when it may go on
   */
  head(): WafBlock | undefined {
    const { exchange } = this.#subject
    const { engine } = this.#route.waf
    const hasBody = exchange.body !== null && exchange.body.length !== 0
    this.#runNative(hasBody)
    if (this.#block !== undefined || this.#isAllowed) return this.#block
    if (engine !== undefined && !this.#skipsRequest) {
      const { target, headers, client } = exchange
      this.#transaction = engine.begin(
        {
          method: exchange.method,
          target: target.raw,
          protocol: exchange.httpVersion === '2' ? 'HTTP/2.0' : `HTTP/${exchange.httpVersion}`,
          headers: headers.flat,
          remoteAddress: client.ip?.text ?? '',
          remotePort: client.port,
          id: exchange.id,
          startedAt: exchange.startedAt,
        },
        this.#exclusions,
      )
      if (this.#isSimulated) this.#transaction.mode = 'detect'
      this.#transaction.trace = this.#trace
      this.#phase(1)
    }
    if (this.#block === undefined && !hasBody) this.#endRequest()
    return this.#block
  }

  /** Bytes of the request body that must be read for `body`; 0 when the inspection is complete. */
  get bodyBytes(): number {
    const { exchange } = this.#subject
    const hasBody = exchange.body !== null && exchange.body.length !== 0
    if (!hasBody || this.#isAllowed || this.#block !== undefined) return 0
    const route = this.#route
    const isWanted =
      this.#transaction !== undefined || this.#next < route.request.length || this.#judgesBody
    if (!isWanted) return 0
    const length = exchange.body?.length ?? null
    if (length !== null && length > route.inspectBytes && route.oversize === 'skip') return 0
    return route.inspectBytes
  }

  /** Whether an invalid body is blocked, and this one claims to be something that can be judged. */
  get #judgesBody(): boolean {
    if (this.#route.invalid !== 'block') return false
    return this.coding !== '' || isJudged(this.#subject.exchange.headers.all('content-type'))
  }

  /** The body's content coding, lower case; empty for none. `body` wants what is left without it. */
  get coding(): string {
    const coding = this.#subject.exchange.headers.joined('content-encoding')?.toLowerCase() ?? ''
    return coding === 'identity' ? '' : coding
  }

  /**
   * Inspects the body.
   * @param prefix what was read; undefined when `bodyBytes` was 0
   * @param decoded `prefix` without its `coding`; undefined when it has none, or one that is not known
   */
  body(prefix: BodyPrefix | undefined, decoded?: DecodedBytes): WafBlock | undefined {
    if (this.#block !== undefined || this.#isAllowed) return this.#block
    const { exchange } = this.#subject
    const route = this.#route
    const isTooLong = prefix?.truncated === true || decoded?.end === 'full'
    if (isTooLong && route.oversize === 'block') {
      return this.#own('body-too-long', 413, 'The body is longer than what is inspected.')
    }
    const isSkipped = prefix === undefined || (isTooLong && route.oversize === 'skip')
    const bytes = isSkipped ? '' : bytesToString(decoded?.bytes ?? prefix.bytes)
    const length = decoded === undefined ? (exchange.body?.length ?? null) : null
    const fault = isSkipped ? undefined : this.#codingFault(prefix, decoded)
    if (!isSkipped && this.#judgesBody) {
      const contentTypes = exchange.headers.all('content-type')
      const isTruncated = isTooLong
      const why = fault ?? invalidity({ contentTypes, bytes, isTruncated }, route.waf.limits)
      if (why !== undefined && this.#own('invalid-body', 400, `The body is not valid: ${why}.`)) {
        return this.#block
      }
    }
    this.#subject.body = new InspectedBody(
      bytes,
      isTooLong,
      length,
      exchange.headers.get('content-type') ?? '',
      route.waf.limits,
    )
    this.#runNative(false)
    if (this.#block !== undefined || this.#isAllowed) return this.#block
    if (this.#transaction !== undefined) {
      this.#transaction.message.setBody(bytes, isTooLong, length ?? bytes.length, fault)
      this.#transaction.refresh()
    }
    this.#endRequest()
    return this.#block
  }

  /** What is wrong with the content coding; a body without one has nothing wrong. */
  #codingFault(prefix: BodyPrefix, decoded: DecodedBytes | undefined): string | undefined {
    const { coding } = this
    if (coding === '') return undefined
    const name = coding.slice(0, 40)
    if (decoded === undefined) return `its content coding "${name}" cannot be taken off`
    if (decoded.end === 'broken') return `it is not the ${name} that its Content-Encoding says`
    if (decoded.end === 'cut' && !prefix.truncated) return `its ${name} ends early`
    const { ratio } = this.#route
    return decoded.bytes.length > Math.max(MIN_EXPANDED, decoded.consumed * ratio)
      ? `it becomes more than ${ratio} times as long without its ${name}`
      : undefined
  }

  /** Whether `response` or `responseBody` would look at anything. */
  get wantsResponse(): boolean {
    const { headers, body } = this.#route.waf.config.responses
    if (body) return true
    return headers && (this.#transaction !== undefined || this.#route.response.length > 0)
  }

  /** Inspects the head of the response. */
  response(status: number, headers: HeaderList): WafBlock | undefined {
    if (this.#isAllowed || this.#block !== undefined) return undefined
    if (this.#trace !== undefined) this.#trace.hasResponse = true
    if (!this.#route.waf.config.responses.headers) return undefined
    const { response } = this.#route
    if (response.length > 0 && !this.#skipsResponse) {
      this.#subject.response = { status, headers }
      for (const rule of response) if (this.#asks(rule)) break
    }
    if (this.#block === undefined && this.#transaction !== undefined) {
      this.#transaction.message.setResponse(status, headers.flat)
      this.#transaction.refresh()
      this.#phase(3)
    }
    return this.#block
  }

  /**
   * A scan for the response's body; undefined when nothing asks about it: the config does not want it, or
   * it is one that must not be held (event streams, gRPC, ranges, upgrades, encoded or binary bodies). Call
   * `response` first.
   */
  responseBody(status: number, headers: HeaderList): ResponseWindow | undefined {
    const { leaks } = this.#route
    const { body, limit, window } = this.#route.waf.config.responses
    if (!body || (leaks === 'off' && this.#transaction === undefined)) return undefined
    if (this.#isAllowed || this.#skipsResponse || this.#block !== undefined) return undefined
    if (!isInspectable(status, headers)) return undefined
    return new ResponseWindow(limit, window, (text) => this.#inspectWindow(text))
  }

  #inspectWindow(text: string): WafBlock | undefined {
    this.#findLeak(text)
    const transaction = this.#transaction
    if (this.#block === undefined && transaction !== undefined) {
      transaction.message.setResponseBody(text)
      transaction.refresh()
      this.#phase(4)
    }
    return this.#block
  }

  #findLeak(text: string): void {
    const { waf, leaks } = this.#route
    if (leaks === 'off' || this.#hasLeak) return
    const [leak] = findLeaks(text, this.#excusedLeaks)
    if (leak === undefined) return
    this.#hasLeak = true
    const description = `The response holds what should not leave: ${leak.evidence}.`
    const isEnforced = leaks === 'block'
    const target = LEAK_TARGET + leak.kind
    this.#own(DATA_LEAK, waf.config.status, description, 'response', isEnforced, target)
  }

  /** Ends the inspection: the CRS's last phase, and its memory goes back. Verdicts stay readable. */
  finish(): readonly Verdict[] {
    const transaction = this.#transaction
    if (transaction !== undefined && this.#route.waf.engine !== undefined) {
      transaction.run(5)
      this.#report(transaction)
      this.#route.waf.engine.end(transaction)
    }
    return this.verdicts
  }

  #endRequest(): void {
    if (this.#transaction !== undefined) this.#phase(2)
    const { config } = this.#route.waf
    if (this.#block !== undefined || this.#score < config.anomalyThreshold) return
    this.#own('anomaly-threshold', config.status, `The anomaly score is ${this.#score}.`)
  }

  /** Runs native rules in order, up to the first that needs the body when it is yet to come. */
  #runNative(isBodyToCome: boolean): void {
    const { request, waf } = this.#route
    while (this.#next < request.length) {
      const rule = request[this.#next] as CompiledNativeRule
      if (isBodyToCome && rule.needsBody) return
      this.#next++
      if (rule.needsScores && !this.#isScored) {
        this.#isScored = true
        waf.score?.(this.#subject)
      }
      if (this.#asks(rule)) return
      if (this.#skipsRequest) this.#next = request.length
    }
  }

  /** Asks one rule and does what it says. @returns whether the rules end here */
  #asks(rule: CompiledNativeRule): boolean {
    if (this.#excepted?.has(rule) || this.#isSkipped(rule)) return false
    const isMatch = rule.test(this.#subject)
    if (this.#trace !== undefined) this.#trace.nativeAsked(rule, isMatch)
    if (!isMatch) return false
    const isMeant = !this.#isSimulated && !rule.isSimulated && rule.action !== 'log'
    const isCleared = isMeant && rule.action === 'challenge' && this.#clearance?.isCleared === true
    const isEnforced = isMeant && !isCleared
    this.#add({
      rule: rule.id,
      ruleset: rule.ruleset,
      action: rule.action,
      enforced: isEnforced,
      phase: rule.phase,
      description: rule.description,
      ...this.#matchOf(rule),
      ...(rule.action === 'score' ? { score: rule.score } : {}),
      ...(isCleared ? { isCleared } : {}),
    })
    if (!isEnforced) return false
    switch (rule.action) {
      case 'block':
      case 'challenge':
        this.#block = {
          kind: rule.action,
          status: rule.status ?? this.#route.waf.config.status,
          rule: rule.id,
          ruleset: rule.ruleset,
          body: rule.body,
        }
        this.#trace?.ended(`the rule ${rule.id} ends the request`)
        return true
      case 'allow':
        this.#isAllowed = true
        this.#trace?.ended(`the rule ${rule.id} allows the request`)
        return true
      case 'skip':
        this.#skip(rule)
        return false
      case 'score':
        this.#score += rule.score
        return false
    }
  }

  #matchOf(rule: CompiledNativeRule): { target?: string; match?: string } {
    const { target } = rule
    if (target === undefined) return {}
    const value = rule.readTarget?.(this.#subject)
    return value === undefined ? { target } : { target, match: maskedMatch(target, value) }
  }

  #skip(rule: CompiledNativeRule): void {
    this.#skipped ??= new Map()
    const { skip, id: by } = rule
    if (skip === undefined) {
      this.#skipped.set(`ruleset ${rule.ruleset}`, by)
      return
    }
    for (const name of skip.rulesets ?? []) this.#skipped.set(`ruleset ${name}`, by)
    for (const id of skip.ids ?? []) this.#skipped.set(`id ${id}`, by)
    for (const tag of skip.tags ?? []) this.#skipped.set(`tag ${tag}`, by)
    if (skip.phases?.includes('response')) {
      this.#skipsResponse = true
      this.#trace?.phaseSkipped('response', by)
    }
    if (skip.phases?.includes('request')) {
      this.#skipsRequest = true
      this.#trace?.phaseSkipped('request', by)
    }
  }

  #isSkipped(rule: CompiledNativeRule): boolean {
    const skipped = this.#skipped
    if (skipped === undefined) return false
    let by = skipped.get(`ruleset ${rule.ruleset}`) ?? skipped.get(`id ${rule.id}`)
    for (let i = 0; by === undefined && i < rule.tags.length; i++) {
      by = skipped.get(`tag ${rule.tags[i]}`)
    }
    if (by !== undefined) this.#trace?.nativeSkipped(rule, by)
    return by !== undefined
  }

  #phase(phase: 1 | 2 | 3 | 4): void {
    const transaction = this.#transaction as Transaction
    const skippedBy = this.#skipped?.get(`ruleset ${this.#route.waf.engineName}`)
    if (skippedBy !== undefined) {
      this.#trace?.phaseSkipped('engine', skippedBy)
      return
    }
    const interruption = transaction.run(phase)
    this.#report(transaction)
    if (interruption !== undefined) {
      this.#block ??= this.#fromEngine(interruption)
      this.#trace?.ended(`the rule ${interruption.ruleId} ends the request`)
    } else if (transaction.isExhausted && this.#route.onBudget === 'closed') {
      this.#own('work-budget', 403, 'The inspection costs more than its budget.')
    }
  }

  #fromEngine(interruption: Interruption): WafBlock {
    const isRedirect = interruption.kind === 'redirect'
    return {
      kind: isRedirect ? 'redirect' : 'block',
      status: interruption.status,
      rule: String(interruption.ruleId),
      ruleset: this.#route.waf.engineName,
      location: isRedirect ? interruption.location : undefined,
    }
  }

  /** Verdicts for the matches that the engine has logged since the last call. */
  #report({ matches }: Transaction): void {
    for (; this.#reported < matches.length; this.#reported++) {
      const match = matches[this.#reported] as RuleMatch
      const score = SEVERITY_SCORES[match.severity]
      this.#add({
        rule: String(match.id),
        ruleset: this.#route.waf.engineName,
        action: match.isBlocking ? 'block' : score === undefined ? 'log' : 'score',
        enforced:
          match.isDisruptive || (!match.isBlocking && !this.#isSimulated && score !== undefined),
        phase: match.phase === 3 || match.phase === 4 ? 'response' : 'request',
        description: match.message,
        ...(match.target === ''
          ? {}
          : { target: match.target, match: maskedMatch(match.target, match.value) }),
        ...(score === undefined ? {} : { score }),
      })
    }
  }

  /** A block that is the WAF's own decision, no rule's. */
  #own(
    rule: string,
    status: number,
    description: string,
    phase: Verdict['phase'] = 'request',
    isEnforced = true,
    target?: string,
  ): WafBlock | undefined {
    const enforced = isEnforced && !this.#isSimulated
    const verdict: Verdict = { rule, ruleset: 'waf', action: 'block', enforced, phase, description }
    this.#add(target === undefined ? verdict : { ...verdict, target })
    if (enforced) {
      this.#block ??= { kind: 'block', status, rule, ruleset: 'waf' }
      this.#trace?.ended(`${rule} ends the request`)
    }
    return this.#block
  }

  #add(verdict: Verdict): void {
    this.#verdicts ??= []
    if (this.#verdicts.length < MAX_VERDICTS) this.#verdicts.push(verdict)
  }
}

/** What a match adds to the anomaly score, by the CRS's convention. */
const SEVERITY_SCORES: Readonly<Record<string, number>> = {
  CRITICAL: 5,
  ERROR: 4,
  WARNING: 3,
  NOTICE: 2,
}

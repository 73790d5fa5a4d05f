/**
 * Whether a command for Redis is worth sending: a server that hung is left alone after a few commands that
 * cost their time limit, and asked again by a probe, so that it slows down no more than those few requests.
 */

export type RedisState = 'up' | 'connecting' | 'down'

/** Commands in a row that fail before the server is left alone. */
const FAILURES = 5

export class RedisLink {
  #isConnected = false
  #wasConnected = false
  #failures = 0
  #isOpen = false
  #reason = 'not connected yet'
  readonly #onChange: (state: RedisState, reason: string) => void

  constructor(onChange: (state: RedisState, reason: string) => void) {
    this.#onChange = onChange
  }

  get state(): RedisState {
    if (this.#isConnected && !this.#isOpen) return 'up'
    return this.#wasConnected || this.#failures > 0 ? 'down' : 'connecting'
  }

  get isUsable(): boolean {
    return this.#isConnected && !this.#isOpen
  }

  /** Connected, but left alone until a probe gets an answer. */
  get isLeftAlone(): boolean {
    return this.#isConnected && this.#isOpen
  }

  /** Why it is not used; the last reason when it is. */
  get reason(): string {
    return this.#reason
  }

  connected(): void {
    const before = this.state
    this.#isConnected = true
    this.#wasConnected = true
    this.#isOpen = false
    this.#failures = 0
    this.#told(before, 'connected')
  }

  lost(reason: string): void {
    const before = this.state
    this.#isConnected = false
    this.#failures++
    this.#told(before, reason)
  }

  succeeded(): void {
    this.#failures = 0
    if (!this.#isOpen) return
    const before = this.state
    this.#isOpen = false
    this.#told(before, 'answers again')
  }

  failed(reason: string): void {
    const before = this.state
    this.#failures++
    if (this.#failures >= FAILURES) this.#isOpen = true
    this.#told(before, reason)
  }

  #told(before: RedisState, reason: string): void {
    this.#reason = reason
    if (this.state !== before) this.#onChange(this.state, reason)
  }
}

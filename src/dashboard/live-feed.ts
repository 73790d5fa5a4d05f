/** Reads `/live`: server-sent events over fetch, since an EventSource cannot send the token. */
import type { LiveFrame } from '../admin/live-view.ts'
import { type Api, ApiError } from './api.ts'

export type FeedState =
  | { readonly kind: 'connecting' | 'live' | 'paused' | 'absent' }
  | { readonly kind: 'waiting'; readonly seconds: number; readonly why: string }

const LONGEST_WAIT_SECONDS = 10
/** No frame for so long: the connection is dead, whatever TCP says. */
const SILENCE_MS = 6000
/** A tab that nobody sees costs the gateway nothing after this. */
const HIDDEN_MS = 60_000

export class LiveFeed {
  readonly #api: Api
  readonly #onFrame: (frame: LiveFrame) => void
  readonly #onState: (state: FeedState) => void
  #abort: AbortController | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #hiding: ReturnType<typeof setTimeout> | undefined
  #failures = 0
  #isStopped = false

  constructor(api: Api, onFrame: (frame: LiveFrame) => void, onState: (state: FeedState) => void) {
    this.#api = api
    this.#onFrame = onFrame
    this.#onState = onState
    document.addEventListener('visibilitychange', this.#onVisibility)
    void this.#connect()
  }

  stop(): void {
    this.#isStopped = true
    document.removeEventListener('visibilitychange', this.#onVisibility)
    clearTimeout(this.#timer)
    clearTimeout(this.#hiding)
    this.#abort?.abort()
  }

  retryNow(): void {
    clearTimeout(this.#timer)
    this.#abort?.abort()
    this.#failures = 0
    void this.#connect()
  }

  readonly #onVisibility = () => {
    clearTimeout(this.#hiding)
    if (document.hidden) {
      this.#hiding = setTimeout(() => {
        clearTimeout(this.#timer)
        this.#abort?.abort()
        this.#abort = undefined
        this.#onState({ kind: 'paused' })
      }, HIDDEN_MS)
    } else if (this.#abort === undefined) this.retryNow()
  }

  async #connect(): Promise<void> {
    if (this.#isStopped) return
    const abort = new AbortController()
    this.#abort = abort
    this.#onState({ kind: 'connecting' })
    let why = 'The gateway ended the connection.'
    let silence = setTimeout(() => abort.abort(), SILENCE_MS)
    try {
      const response = await this.#api.open('GET', 'live', { signal: abort.signal })
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
      let text = ''
      while (reader !== undefined) {
        const { done, value } = await reader.read()
        if (done) break
        clearTimeout(silence)
        silence = setTimeout(() => abort.abort(), SILENCE_MS)
        text += value
        const parts = text.split('\n\n')
        text = parts.pop() ?? ''
        for (const part of parts) why = this.#message(part) ?? why
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return
      if (error instanceof ApiError && error.status === 404) {
        this.#onState({ kind: 'absent' })
        return
      }
      if (error instanceof ApiError) why = error.message
      else why = 'The gateway does not answer.'
    } finally {
      clearTimeout(silence)
    }
    // Another connection has taken over, or nobody is there.
    if (this.#isStopped || this.#abort !== abort) return
    this.#failures++
    const seconds = Math.min(LONGEST_WAIT_SECONDS, 2 ** (this.#failures - 1))
    this.#onState({ kind: 'waiting', seconds, why })
    this.#timer = setTimeout(() => void this.#connect(), seconds * 1000)
  }

  /** @returns what a fault says */
  #message(text: string): string | undefined {
    let event = ''
    let data = ''
    for (const line of text.split('\n')) {
      if (line.startsWith('event: ')) event = line.slice(7)
      else if (line.startsWith('data: ')) data += line.slice(6)
    }
    if (event === 'frame') {
      this.#failures = 0
      this.#onState({ kind: 'live' })
      // The gateway's own frame; both come out of one distribution.
      this.#onFrame(JSON.parse(data) as LiveFrame)
    } else if (event === 'fault') return (JSON.parse(data) as { title: string }).title
    return undefined
  }
}

/** What every tab has at hand. */
import { createContext } from 'preact'
import { useCallback, useContext, useEffect, useState } from 'preact/hooks'
import type { LiveFrame } from '../admin/live-view.ts'
import type { StatusReport } from '../admin/view.ts'
import type { GatewayEvent } from '../telemetry/events.ts'
import { type Api, isMissing, wordsOf } from './api.ts'
import type { FeedState } from './live-feed.ts'

export interface Dashboard {
  readonly api: Api
  readonly status: StatusReport
  readonly feed: FeedState
  /** The last two minutes, oldest first. */
  readonly frames: readonly LiveFrame[]
  /** Newest first. */
  readonly events: readonly GatewayEvent[]
  /** Rises when colours change. */
  readonly theme: number
  refreshStatus(): void
  /** Says something for a few seconds. */
  say(text: string, kind?: 'good' | 'bad'): void
}

export const DashboardContext = createContext<Dashboard | undefined>(undefined)

export function useDashboard(): Dashboard {
  const dashboard = useContext(DashboardContext)
  if (dashboard === undefined) throw new Error('outside of the dashboard')
  return dashboard
}

export interface Loaded<T> {
  readonly value: T | undefined
  readonly error: string | undefined
  /** The gateway has no such path. */
  readonly isMissing: boolean
  reload(): void
}

/** Asks the control port when shown, and again every `everyMs`. */
export function useLoaded<T>(path: string, everyMs?: number): Loaded<T> {
  const { api } = useDashboard()
  const [state, setState] = useState<Omit<Loaded<T>, 'reload'>>({
    value: undefined,
    error: undefined,
    isMissing: false,
  })
  const [turn, setTurn] = useState(0)
  const reload = useCallback(() => setTurn((before) => before + 1), [])
  useEffect(() => {
    const abort = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const load = async () => {
      try {
        const value = await api.get<T>(path, abort.signal)
        setState({ value, error: undefined, isMissing: false })
      } catch (error) {
        if (abort.signal.aborted) return
        const missing = isMissing(error)
        setState((before) => ({
          value: missing ? undefined : before.value,
          error: wordsOf(error),
          isMissing: missing,
        }))
        if (missing) return
      }
      if (everyMs !== undefined && !abort.signal.aborted) timer = setTimeout(load, everyMs)
    }
    void load()
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [api, path, everyMs, turn])
  return { ...state, reload }
}

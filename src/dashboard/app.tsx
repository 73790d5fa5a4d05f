/** The dashboard: signs in, watches, and shows one tab. */
import { render } from 'preact'
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { LiveFrame } from '../admin/live-view.ts'
import type { StatusReport } from '../admin/view.ts'
import type { GatewayEvent } from '../telemetry/events.ts'
import { Api, ApiError, wordsOf } from './api.ts'
import { CacheTab } from './cache-tab.tsx'
import { type Dashboard, DashboardContext } from './context.ts'
import { span } from './format.ts'
import { type FeedState, LiveFeed } from './live-feed.ts'
import { LiveTab } from './live-tab.tsx'
import { Empty, State, type StateName } from './parts.tsx'
import { RegionsTab } from './regions-tab.tsx'
import { RulesTab } from './rules-tab.tsx'
import { SecurityTab } from './security-tab.tsx'
import { SignIn } from './sign-in.tsx'
import { type TabDefinition, Tabs } from './tabs.tsx'
import { useTheme } from './theme.ts'
import './app.css'

const TABS: readonly TabDefinition[] = [
  { id: 'live', name: 'Live', view: LiveTab },
  { id: 'regions', name: 'Regions', view: RegionsTab },
  { id: 'security', name: 'Security', view: SecurityTab },
  { id: 'rules', name: 'Rules', view: RulesTab },
  { id: 'cache', name: 'Cache', view: CacheTab },
]

const KEPT_FRAMES = 120
const KEPT_EVENTS = 1000
const TOAST_MS = 5000

/** Newest first, each once: what was asked for and what was watched overlap. */
function mergeEvents(
  known: readonly GatewayEvent[],
  fresh: readonly GatewayEvent[],
): readonly GatewayEvent[] {
  if (fresh.length === 0) return known
  const ids = new Set(known.map(({ id }) => id))
  const added = fresh.filter((event) => !ids.has(event.id))
  if (added.length === 0) return known
  return [...added, ...known].sort((a, b) => b.time - a.time).slice(0, KEPT_EVENTS)
}

function feedWords(feed: FeedState): [state: StateName, words: string] {
  switch (feed.kind) {
    case 'live':
      return ['good', 'Live']
    case 'connecting':
      return ['idle', 'Connecting…']
    case 'paused':
      return ['idle', 'Paused']
    case 'absent':
      return ['idle', 'Not live']
    case 'waiting':
      return ['bad', 'Reconnecting…']
  }
}

function Header(props: {
  status: StatusReport
  feed: FeedState
  theme: ReturnType<typeof useTheme>
  onSignOut: (() => void) | undefined
}) {
  const { status, feed, theme } = props
  const [state, words] = feedWords(feed)
  return (
    <header class="top">
      <img src="icon.svg" alt="" width="28" height="28" />
      <h1>Meridian</h1>
      <p class="facts">
        {status.version} · {status.workers === 1 ? '1 process' : `${status.workers} processes`} · up{' '}
        {span(Date.now() - status.startedAt)} · config {status.config.hash.slice(0, 8)}
      </p>
      <output class="connection" aria-live="polite">
        <State state={state}>{words}</State>
      </output>
      <button type="button" class="plain small" onClick={theme.next}>
        Theme: {theme.theme}
      </button>
      {props.onSignOut !== undefined && (
        <button type="button" class="plain small" onClick={props.onSignOut}>
          Sign out
        </button>
      )}
    </header>
  )
}

interface Toast {
  readonly id: number
  readonly text: string
  readonly kind: 'good' | 'bad'
}

function useToasts(): { toasts: readonly Toast[]; say: Dashboard['say'] } {
  const [toasts, setToasts] = useState<readonly Toast[]>([])
  const next = useRef(0)
  const say = useCallback((text: string, kind: 'good' | 'bad' = 'good') => {
    const id = next.current++
    setToasts((before) => [...before.slice(-2), { id, text, kind }])
    setTimeout(() => setToasts((before) => before.filter((one) => one.id !== id)), TOAST_MS)
  }, [])
  return { toasts, say }
}

/** Everything behind the token. */
function SignedIn(props: {
  api: Api
  first: StatusReport
  theme: ReturnType<typeof useTheme>
  onSignOut: (() => void) | undefined
}) {
  const { api, theme } = props
  const [status, setStatus] = useState(props.first)
  const [feed, setFeed] = useState<FeedState>({ kind: 'connecting' })
  const [frames, setFrames] = useState<readonly LiveFrame[]>([])
  const [events, setEvents] = useState<readonly GatewayEvent[]>([])
  const { toasts, say } = useToasts()
  const live = useRef<LiveFeed>(undefined)

  const refreshStatus = useCallback(() => {
    // What failed shows in the connection's state; the last report stays until there is another.
    void api.get<StatusReport>('status').then(setStatus, () => {})
  }, [api])

  useEffect(() => {
    const loadEvents = () =>
      api.get<{ events: GatewayEvent[] }>(`events?limit=${KEPT_EVENTS}`).then(
        (answer) => setEvents((before) => mergeEvents(before, answer.events)),
        () => {},
      )
    const reader = new LiveFeed(
      api,
      (frame) => {
        setFrames((before) => [...before.slice(1 - KEPT_FRAMES), frame])
        setEvents((before) => mergeEvents(before, frame.events))
        if (frame.events.some(({ kind }) => kind === 'health' || kind === 'config')) refreshStatus()
      },
      (state) => {
        setFeed((before) => {
          if (state.kind === 'live' && before.kind !== 'live') {
            // What was missed while away.
            void loadEvents()
            refreshStatus()
          }
          return before.kind === state.kind && state.kind === 'live' ? before : state
        })
      },
    )
    live.current = reader
    void loadEvents()
    return () => reader.stop()
  }, [api, refreshStatus])

  const dashboard = useMemo(
    (): Dashboard => ({
      api,
      status,
      feed,
      frames,
      events,
      theme: theme.version,
      refreshStatus,
      say,
    }),
    [api, status, feed, frames, events, theme.version, refreshStatus, say],
  )
  return (
    <DashboardContext.Provider value={dashboard}>
      <Header status={status} feed={feed} theme={theme} onSignOut={props.onSignOut} />
      {feed.kind === 'waiting' && (
        <div class="banner" role="alert">
          <span>
            {feed.why} Trying again in {feed.seconds} s. What you see is the last that was known.
          </span>
          <button type="button" class="plain small" onClick={() => live.current?.retryNow()}>
            Try now
          </button>
        </div>
      )}
      {status.config.lastError !== null && (
        <div class="banner" role="alert">
          <span>
            The last change of the config was not taken over: <code>{status.config.lastError}</code>
          </span>
        </div>
      )}
      <Tabs tabs={TABS} />
      <div class="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <p key={toast.id} class={toast.kind}>
            {toast.text}
          </p>
        ))}
      </div>
    </DashboardContext.Provider>
  )
}

type Gate =
  | { readonly kind: 'asking' }
  | { readonly kind: 'token'; readonly wasRefused: boolean }
  | { readonly kind: 'gone'; readonly why: string }
  | { readonly kind: 'in'; readonly status: StatusReport }

const RETRY_MS = 3000

function App() {
  const [api] = useState(() => new Api())
  const [gate, setGate] = useState<Gate>({ kind: 'asking' })
  const theme = useTheme()

  const enter = useCallback(async () => {
    try {
      // So that a page without a token need not be refused to learn that it wants one.
      if (
        api.token === undefined &&
        (await api.get<{ asksForToken: boolean }>('ui/gate.json')).asksForToken
      ) {
        setGate({ kind: 'token', wasRefused: false })
        return
      }
      setGate({ kind: 'in', status: await api.get<StatusReport>('status') })
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return
      setGate({ kind: 'gone', why: wordsOf(error) })
      setTimeout(() => void enter(), RETRY_MS)
    }
  }, [api])

  useEffect(() => {
    api.onUnauthorized = () => {
      const wasRefused = api.token !== undefined
      api.keep(undefined)
      // The form says itself what is wrong with what was typed into it.
      setGate((before) => (before.kind === 'token' ? before : { kind: 'token', wasRefused }))
    }
    void enter()
  }, [api, enter])

  if (gate.kind === 'asking') return <p class="gate">Connecting…</p>
  if (gate.kind === 'token') {
    return <SignIn api={api} wasRefused={gate.wasRefused} onDone={() => void enter()} />
  }
  if (gate.kind === 'gone') {
    return (
      <main class="gate">
        <Empty title="The gateway cannot be reached">
          {gate.why} The page tries again every {RETRY_MS / 1000} seconds.
        </Empty>
      </main>
    )
  }
  const signOut = () => {
    api.keep(undefined)
    setGate({ kind: 'token', wasRefused: false })
  }
  return (
    <SignedIn
      api={api}
      first={gate.status}
      theme={theme}
      onSignOut={api.token === undefined ? undefined : signOut}
    />
  )
}

const root = document.getElementById('app')
if (root !== null) render(<App />, root)

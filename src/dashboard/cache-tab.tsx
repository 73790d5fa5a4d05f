/** The cache: how well it answers, what it misses and why, what is stored, and purging. */
import { useState } from 'preact/hooks'
import type { CacheReport, RouteReport } from '../admin/cache-view.ts'
import type { EntryReport } from '../cache/inspection.ts'
import { wordsOf } from './api.ts'
import { useDashboard, useLoaded } from './context.ts'
import { bytes, count, moment, percent, span } from './format.ts'
import { Action, Bars, Card, Empty, Field, Notice, State, Unavailable } from './parts.tsx'

const REFRESH_MS = 5000
const SHOWN_MISSES = 12

interface Stats extends CacheReport {
  readonly routes: readonly (RouteReport & { readonly hitRatio: number | null })[]
}

function Tiers({ stats }: { stats: Stats }) {
  return (
    <dl class="tiles">
      {stats.tiers.map((tier) => (
        <div class="tile" key={tier.name}>
          <dt>Stored in {tier.name}</dt>
          <dd>{count(tier.entries)}</dd>
          <p>
            {bytes(tier.bytes)} of {bytes(tier.capacity)}, {count(tier.evicted)} evicted
          </p>
        </div>
      ))}
      <div class="tile">
        <dt>Collapsed requests</dt>
        <dd>{count(stats.counters.collapsed ?? 0)}</dd>
        <p>answered by another request's fetch</p>
      </div>
      <div class="tile">
        <dt>Fetches that failed</dt>
        <dd>{count(stats.counters.fillsFailed ?? 0)}</dd>
        <p>of {count(stats.counters.fills ?? 0)}</p>
      </div>
    </dl>
  )
}

/** Newest two minutes that were watched: the gateway counts misses only while somebody looks. */
function TopMisses() {
  const { frames } = useDashboard()
  const sums = new Map<string, number>()
  for (const { misses } of frames) {
    for (const [key, value] of Object.entries(misses)) sums.set(key, (sums.get(key) ?? 0) + value)
  }
  const rows = [...sums].sort((a, b) => b[1] - a[1]).slice(0, SHOWN_MISSES)
  if (rows.length === 0) return <Empty title="No miss in the last two minutes" />
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Path</th>
            <th scope="col">Route</th>
            <th scope="col">Why</th>
            <th scope="col">Requests</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([key, value]) => {
            const [route = '', reason = '', path = ''] = key.split('\t')
            return (
              <tr key={key}>
                <td>
                  <code>{path === '' ? route : path}</code>
                </td>
                <td>{path === '' ? '' : route}</td>
                <td>{reason}</td>
                <td>{count(value)}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

const KINDS = {
  urls: { name: 'URLs', hint: 'Absolute, one on each line.', example: 'http://shop.example/cart' },
  prefixes: {
    name: 'Prefixes',
    hint: 'Everything below, one on each line.',
    example: 'http://shop.example/images/',
  },
  tags: { name: 'Tags', hint: 'As origins set them, one on each line.', example: 'product-17' },
  hosts: { name: 'Hosts', hint: 'One on each line.', example: 'shop.example' },
  everything: { name: 'Everything', hint: '', example: '' },
} as const
type Kind = keyof typeof KINDS

function Purge({ onDone }: { onDone: () => void }) {
  const { api, say } = useDashboard()
  const [kind, setKind] = useState<Kind>('urls')
  const [text, setText] = useState('')
  const [mode, setMode] = useState<'hard' | 'soft'>('hard')
  const [matched, setMatched] = useState<number | undefined>()
  const [problem, setProblem] = useState<string | undefined>()
  const names = text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]))
  const isReady = kind === 'everything' || names.length > 0
  const order = { mode, ...(kind === 'everything' ? { everything: true } : { [kind]: names }) }
  const change = (act: () => void) => {
    act()
    setMatched(undefined)
    setProblem(undefined)
  }
  const tell = async (work: () => Promise<void>) => {
    setProblem(undefined)
    try {
      await work()
    } catch (error) {
      setProblem(wordsOf(error))
    }
  }
  const countFirst = () =>
    tell(async () => {
      const answer = await api.post<{ matched: number }>('cache/purge', { ...order, dryRun: true })
      setMatched(answer.matched)
    })
  const purge = () =>
    tell(async () => {
      const answer = await api.post<{ workers: number }>('cache/purge', order)
      say(`Purged in ${answer.workers === 1 ? '1 process' : `${answer.workers} processes`}`)
      setMatched(undefined)
      onDone()
    })
  const what = kind === 'everything' ? 'everything' : `${names.length} ${KINDS[kind].name}`
  return (
    <Card title="Purge" hint="in memory and on disk, in every process">
      <div class="row" role="radiogroup" aria-label="What to purge by">
        {(Object.keys(KINDS) as Kind[]).map((one) => (
          <label key={one} class="check">
            <input
              type="radio"
              name="purge-kind"
              checked={kind === one}
              onChange={() => change(() => setKind(one))}
            />
            {KINDS[one].name}
          </label>
        ))}
      </div>
      {kind !== 'everything' && (
        <Field label={KINDS[kind].name} hint={KINDS[kind].hint}>
          <textarea
            rows={3}
            value={text}
            placeholder={KINDS[kind].example}
            spellcheck={false}
            onInput={(event) => {
              const { value } = event.currentTarget
              change(() => setText(value))
            }}
          />
        </Field>
      )}
      <label class="check">
        <input
          type="checkbox"
          checked={mode === 'soft'}
          onChange={(event) => {
            const { checked } = event.currentTarget
            change(() => setMode(checked ? 'soft' : 'hard'))
          }}
        />
        Soft: keep it as stale, and ask the origin before the next use
      </label>
      {problem !== undefined && <Notice kind="bad">{problem}</Notice>}
      {matched !== undefined && (
        <Notice kind="info">{count(matched)} stored responses in memory would be purged.</Notice>
      )}
      <div class="actions">
        <Action run={countFirst} disabled={!isReady}>
          Count first
        </Action>
        <Action
          run={purge}
          kind="danger"
          disabled={!isReady}
          confirm={{
            title: `Purge ${what}?`,
            text:
              kind === 'everything'
                ? 'Every request then goes to an origin until the cache is warm again.'
                : names.slice(0, 5).join(', '),
            button: 'Purge',
          }}
        >
          Purge
        </Action>
      </div>
    </Card>
  )
}

function Lookup() {
  const { api } = useDashboard()
  const [url, setUrl] = useState('')
  const [entries, setEntries] = useState<readonly EntryReport[] | undefined>()
  const [problem, setProblem] = useState<string | undefined>()
  const submit = async (event: Event) => {
    event.preventDefault()
    setProblem(undefined)
    try {
      const path = `cache/entry?url=${encodeURIComponent(url.trim())}`
      setEntries((await api.get<{ entries: EntryReport[] }>(path)).entries)
    } catch (error) {
      setEntries(undefined)
      setProblem(wordsOf(error))
    }
  }
  return (
    <Card title="What is stored for a URL">
      <form class="inline" onSubmit={(event) => void submit(event)}>
        <input
          aria-label="URL"
          placeholder="http://shop.example/cart"
          value={url}
          spellcheck={false}
          onInput={(event) => setUrl(event.currentTarget.value)}
        />
        <button type="submit" class="plain" disabled={url.trim() === ''}>
          Look
        </button>
      </form>
      {problem !== undefined && <Notice kind="bad">{problem}</Notice>}
      {entries?.length === 0 && <Empty title="Nothing is stored for this URL" />}
      {entries?.map((entry) => (
        <dl class="facts-list" key={`${entry.tier} ${entry.receivedAt} ${entry.keyedBy.join()}`}>
          <div>
            <dt>{entry.tier}</dt>
            <dd>
              <State state={entry.state === 'fresh' ? 'good' : 'warn'}>{entry.state}</State>
            </dd>
          </div>
          <div>
            <dt>Status</dt>
            <dd>{entry.status}</dd>
          </div>
          <div>
            <dt>Age</dt>
            <dd>{span(entry.age * 1000)}</dd>
          </div>
          <div>
            <dt>Fresh for</dt>
            <dd>{entry.ttl < 0 ? 'not any more' : span(entry.ttl * 1000)}</dd>
          </div>
          <div>
            <dt>Body</dt>
            <dd>{bytes(entry.bodyBytes)}</dd>
          </div>
          <div>
            <dt>Received</dt>
            <dd>{moment(entry.receivedAt)}</dd>
          </div>
          {entry.tags.length > 0 && (
            <div>
              <dt>Tags</dt>
              <dd>{entry.tags.join(', ')}</dd>
            </div>
          )}
        </dl>
      ))}
    </Card>
  )
}

export function CacheTab() {
  const stats = useLoaded<Stats>('cache/stats', REFRESH_MS)
  if (stats.isMissing) return <Unavailable what="The cache" />
  const routes = stats.value?.routes.filter(({ requests }) => requests > 0) ?? []
  return (
    <div class="stack">
      {stats.error !== undefined && <Notice kind="bad">{stats.error}</Notice>}
      {stats.value !== undefined && <Tiers stats={stats.value} />}
      <div class="two">
        <Card title="Hit ratio by route" hint="since the start">
          <Bars
            most={1}
            empty="No route has asked the cache yet"
            rows={routes.map(({ route, hitRatio, hits, requests }) => ({
              key: route,
              label: `${route}: ${count(hits)} of ${count(requests)}`,
              value: hitRatio ?? 0,
              text: percent(hitRatio),
              colour: 'cache',
            }))}
          />
        </Card>
        <Card title="Top misses" hint="while watched, two minutes">
          <TopMisses />
        </Card>
        <Purge onDone={stats.reload} />
        <Lookup />
      </div>
    </div>
  )
}

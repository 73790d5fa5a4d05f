/** Security: what was refused and why, asked again, and let off. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { GatewayEvent } from '../telemetry/events.ts'
import type { Explanation } from '../telemetry/explain.ts'
import { wordsOf } from './api.ts'
import { useDashboard } from './context.ts'
import { rulesOf } from './exception.ts'
import { ExceptionMaker } from './exception-maker.tsx'
import { ExplanationView } from './explanation.tsx'
import { count, moment, time } from './format.ts'
import { Action, Card, Empty, Field } from './parts.tsx'

const SHOWN = 200
/** What the mask leaves of a value. */
const MASKED = /\*{3}|…/

const text = (event: GatewayEvent, key: string) => {
  const value = event.detail[key]
  return value === undefined ? '' : String(value)
}
const searchable = (event: GatewayEvent) =>
  [event.what, event.requestId ?? '', ...Object.values(event.detail).map(String)]
    .join(' ')
    .toLowerCase()

function Facts({ event }: { event: GatewayEvent }) {
  const query = text(event, 'query')
  const rows: [name: string, value: string][] = [
    ['Why', text(event, 'description') || text(event, 'reason')],
    ['Rules', rulesOf(event).join(', ')],
    ['Target', text(event, 'target')],
    ['Match', text(event, 'match')],
    [
      'Request',
      `${text(event, 'method')} ${text(event, 'host')}${text(event, 'path')}${query === '' ? '' : `?${query}`}`.trim(),
    ],
    [
      'Client',
      [text(event, 'client') || text(event, 'peer'), text(event, 'country')]
        .filter(Boolean)
        .join(', '),
    ],
    ['Route', text(event, 'route')],
    ['Status', text(event, 'status')],
    ['Request id', event.requestId ?? ''],
    ['Time', moment(event.time)],
  ]
  return (
    <dl class="pairs">
      {rows
        .filter(([, value]) => value !== '')
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  )
}

function Detail({ event }: { event: GatewayEvent }) {
  const { api, say } = useDashboard()
  const [explanation, setExplanation] = useState<Explanation | undefined>()
  const [isExcepting, setExcepting] = useState(false)
  const hasRequest = text(event, 'path') !== ''
  const query = text(event, 'query')
  const explain = async () => {
    const path = `${text(event, 'path')}${query === '' ? '' : `?${query}`}`
    const client = text(event, 'client')
    setExplanation(
      await api.post<Explanation>('explain', {
        method: text(event, 'method') || 'GET',
        url: `http://${text(event, 'host') || 'localhost'}${path}`,
        ...(client === '' ? {} : { ip: client }),
      }),
    )
  }
  return (
    <Card title={event.what} hint={text(event, 'path')} class="detail-card">
      <Facts event={event} />
      <div class="actions">
        {hasRequest && <Action run={explain}>Explain again</Action>}
        {rulesOf(event).length > 0 && (
          <button
            type="button"
            class="plain"
            aria-expanded={isExcepting}
            onClick={() => setExcepting(!isExcepting)}
          >
            Make exception…
          </button>
        )}
      </div>
      {explanation !== undefined && (
        <div class="stack">
          <p class="hint">
            What would happen now, from the event's (shortened) address
            {MASKED.test(query)
              ? '; the query was masked, so its values are not what they were'
              : ''}
            .
          </p>
          <ExplanationView explanation={explanation} />
        </div>
      )}
      {isExcepting && (
        <ExceptionMaker
          event={event}
          // Another rule may stop the same request: the operator should see that at once.
          onPublished={() => void explain().catch((error) => say(wordsOf(error), 'bad'))}
        />
      )}
    </Card>
  )
}

export function SecurityTab() {
  const { events } = useDashboard()
  const [what, setWhat] = useState('')
  const [search, setSearch] = useState('')
  const [chosen, setChosen] = useState<GatewayEvent | undefined>()
  const side = useRef<HTMLDivElement>(null)
  useEffect(() => {
    // On a narrow screen it stands below the list, out of sight.
    if (chosen !== undefined && matchMedia('(max-width: 999px)').matches) {
      side.current?.scrollIntoView({ block: 'start' })
    }
  }, [chosen])
  const all = useMemo(() => events.filter(({ kind }) => kind === 'security'), [events])
  const kinds = useMemo(() => {
    const counts = new Map<string, number>()
    for (const event of all) counts.set(event.what, (counts.get(event.what) ?? 0) + 1)
    return [...counts].sort((a, b) => b[1] - a[1])
  }, [all])
  const wanted = search.trim().toLowerCase()
  const found = all.filter(
    (event) =>
      (what === '' || event.what === what) && (wanted === '' || searchable(event).includes(wanted)),
  )
  return (
    <div class="split">
      <Card title="Security events" hint={`${count(found.length)} of ${count(all.length)} kept`}>
        <div class="filters">
          <Field label="What">
            <select value={what} onChange={(event) => setWhat(event.currentTarget.value)}>
              <option value="">all</option>
              {kinds.map(([name, number]) => (
                <option key={name} value={name}>
                  {name} ({number})
                </option>
              ))}
            </select>
          </Field>
          <Field label="Search">
            <input
              type="search"
              placeholder="rule, path, country, request id"
              value={search}
              onInput={(event) => setSearch(event.currentTarget.value)}
            />
          </Field>
        </div>
        {found.length === 0 && (
          <Empty title={all.length === 0 ? 'Nothing was refused yet' : 'Nothing matches'} />
        )}
        <ol class="events">
          {found.slice(0, SHOWN).map((event) => (
            <li key={event.id}>
              <button
                type="button"
                aria-pressed={chosen?.id === event.id}
                onClick={() => setChosen(event)}
              >
                <time>{time(event.time)}</time>
                <strong>{event.what}</strong>
                <span>{rulesOf(event).join(', ')}</span>
                <code>{text(event, 'path')}</code>
                <span>{text(event, 'country')}</span>
              </button>
            </li>
          ))}
        </ol>
      </Card>
      <div class="side" ref={side}>
        {chosen === undefined ? (
          <Card title="Why">
            <Empty title="Choose an event">
              Its rule, what matched, and what would happen to the same request now.
            </Empty>
          </Card>
        ) : (
          <Detail key={chosen.id} event={chosen} />
        )}
      </div>
    </div>
  )
}

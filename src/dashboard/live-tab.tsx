/** What happens now: the map, the rates, who is refused and by which rule. */
import { useMemo } from 'preact/hooks'
import type { LiveFrame } from '../admin/live-view.ts'
import type { LiveOutcome } from '../telemetry/live-sample.ts'
import { Chart, type Line } from './chart.tsx'
import { useDashboard } from './context.ts'
import { bytes, count, duration, percent, rate, time } from './format.ts'
import { type BarRow, Bars, Card, Empty, State } from './parts.tsx'
import { OUTCOMES, recentFlows, WorldMap } from './world-map.tsx'

/** Tiles show the mean of so many seconds: single ones jump. */
const MEAN_FRAMES = 10
const HITS = ['hit', 'stale', 'revalidated']

function sumOf(frames: readonly LiveFrame[], of: (frame: LiveFrame) => number): number {
  return frames.reduce((sum, frame) => sum + of(frame), 0)
}

function perSecond(frames: readonly LiveFrame[], of: (frame: LiveFrame) => number): number {
  const seconds = sumOf(frames, (frame) => frame.seconds)
  return seconds === 0 ? 0 : sumOf(frames, of) / seconds
}

function hitRatio(frames: readonly LiveFrame[]): number | null {
  const asked = sumOf(frames, ({ cache }) =>
    Object.values(cache).reduce((sum, one) => sum + one, 0),
  )
  const hits = sumOf(frames, ({ cache }) => HITS.reduce((sum, one) => sum + (cache[one] ?? 0), 0))
  return asked === 0 ? null : hits / asked
}

function totals(
  frames: readonly LiveFrame[],
  of: (frame: LiveFrame) => Readonly<Record<string, number>>,
): [name: string, count: number][] {
  const sums = new Map<string, number>()
  for (const frame of frames) {
    for (const [name, value] of Object.entries(of(frame))) {
      sums.set(name, (sums.get(name) ?? 0) + value)
    }
  }
  return [...sums].sort((a, b) => b[1] - a[1])
}

function Tile(props: { name: string; value: string; note: string }) {
  return (
    <div class="tile">
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
      <p>{props.note}</p>
    </div>
  )
}

function Tiles({ frames }: { frames: readonly LiveFrame[] }) {
  const recent = frames.slice(-MEAN_FRAMES)
  const last = frames.at(-1)
  const latency = frames.findLast((frame) => frame.latency !== null)?.latency
  const refused = perSecond(recent, (frame) => frame.outcomes.blocked)
  const failed = perSecond(recent, (frame) => frame.outcomes.failed)
  return (
    <dl class="tiles">
      <Tile
        name="Requests a second"
        value={rate(perSecond(recent, (frame) => frame.requests))}
        note={`${count(last?.inFlight ?? 0)} in flight, ${bytes(Math.round(perSecond(recent, (frame) => frame.bytesOut)))}/s out`}
      />
      <Tile
        name="Latency, p95"
        value={duration(latency?.p95)}
        note={`p50 ${duration(latency?.p50)}, p99 ${duration(latency?.p99)}`}
      />
      <Tile
        name="Cache hit ratio"
        value={percent(hitRatio(frames.slice(-60)))}
        note="over the last minute"
      />
      <Tile
        name="Refused a second"
        value={rate(refused)}
        note={failed > 0 ? `and ${rate(failed)} failed` : 'none failed'}
      />
    </dl>
  )
}

function outcomeLine(id: LiveOutcome, frames: readonly LiveFrame[]): Line {
  const { name, colour } = OUTCOMES.find((one) => one.id === id) ?? { name: id, colour: '--ink' }
  return {
    name,
    colour,
    values: frames.map(({ outcomes, seconds }) => (seconds === 0 ? 0 : outcomes[id] / seconds)),
  }
}

function Charts({ frames, theme }: { frames: readonly LiveFrame[]; theme: number }) {
  const times = useMemo(() => frames.map((frame) => frame.at / 1000), [frames])
  const rates = useMemo(
    () => (['origin', 'cache', 'blocked', 'failed'] as const).map((id) => outcomeLine(id, frames)),
    [frames],
  )
  const latencies = useMemo(
    (): Line[] => [
      { name: 'p50', colour: '--cache', values: frames.map((one) => one.latency?.p50 ?? null) },
      {
        name: 'p95',
        colour: '--origin',
        dash: [8, 4],
        values: frames.map((one) => one.latency?.p95 ?? null),
      },
      {
        name: 'p99',
        colour: '--failed',
        dash: [2, 3],
        values: frames.map((one) => one.latency?.p99 ?? null),
      },
    ],
    [frames],
  )
  return (
    <>
      <Card title="Requests a second" hint="by outcome, two minutes" class="half">
        <Chart
          label="Requests a second by outcome over the last two minutes"
          times={times}
          lines={rates}
          stacked
          format={rate}
          theme={theme}
        />
      </Card>
      <Card title="Latency" hint="from request to last byte" class="half">
        <Chart
          label="Latency quantiles over the last two minutes"
          times={times}
          lines={latencies}
          format={duration}
          theme={theme}
        />
      </Card>
    </>
  )
}

function destinationRows(frames: readonly LiveFrame[]): BarRow[] {
  const sums = new Map<string, number>()
  for (const flow of recentFlows(frames)) {
    const all = OUTCOMES.reduce((sum, { id }) => sum + flow.counts[id], 0)
    sums.set(flow.to, (sums.get(flow.to) ?? 0) + all)
  }
  const total = [...sums.values()].reduce((sum, one) => sum + one, 0)
  const down = new Set(frames.at(-1)?.regions.flatMap((one) => (one.healthy ? [] : [one.id])))
  return [...sums]
    .sort((a, b) => b[1] - a[1])
    .map(([to, requests]) => ({
      key: to,
      label: to === '' ? 'Answered here: cache, refusals' : to,
      value: requests / total,
      text: percent(requests / total),
      colour: to === '' ? 'cache' : down.has(to) ? 'failed' : 'origin',
    }))
}

function RecentEvents() {
  const { events } = useDashboard()
  const shown = events.slice(0, 8)
  if (shown.length === 0) {
    return <Empty title="No events yet">Blocks, failovers and health changes appear here.</Empty>
  }
  return (
    <ol class="feed">
      {shown.map((event) => (
        <li key={`${event.time} ${event.sequence} ${event.requestId ?? ''}`}>
          <time>{time(event.time)}</time>
          <State
            state={event.kind === 'security' ? 'warn' : event.kind === 'config' ? 'idle' : 'bad'}
          >
            {event.what}
          </State>
          <span class="detail">
            {[
              event.detail.path ?? event.detail.origin ?? event.detail.hash ?? '',
              event.detail.country,
            ]
              .filter(Boolean)
              .join(' · ')}
          </span>
        </li>
      ))}
    </ol>
  )
}

export function LiveTab() {
  const { frames, feed, theme } = useDashboard()
  if (feed.kind === 'absent') {
    return <Empty title="This gateway cannot be watched live">The other tabs work.</Empty>
  }
  const minute = frames.slice(-60)
  const unplaced = sumOf(frames.slice(-8), (frame) => frame.unplaced)
  const rules = totals(minute, (frame) => frame.rules).slice(0, 8)
  const problems = totals(minute, (frame) => frame.problems).slice(0, 8)
  const isQuiet = frames.length > 3 && sumOf(frames, (frame) => frame.requests) === 0
  const rows = (list: [string, number][], colour: string): BarRow[] =>
    list.map(([name, value]) => ({ key: name, label: name, value, text: count(value), colour }))
  return (
    <div class="live">
      <Tiles frames={frames} />
      <Card
        title="Where requests come from and go to"
        class="wide"
        hint={
          isQuiet
            ? 'No request in the last two minutes'
            : `the last 8 seconds, by cells of 2°${unplaced === 0 ? '' : `; ${count(unplaced)} requests without a place`}`
        }
      >
        <WorldMap frames={frames} />
      </Card>
      <Card title="Answered by" hint="share of the last 8 seconds">
        <Bars rows={destinationRows(frames)} most={1} empty="No request was placed yet" />
      </Card>
      <Card title="Refused by rule" hint="WAF rules that acted, one minute">
        <Bars rows={rows(rules, 'blocked')} empty="No rule has acted in the last minute" />
      </Card>
      <Charts frames={frames} theme={theme} />
      <Card title="Answers that the gateway made" hint="by problem code, one minute">
        <Bars rows={rows(problems, 'blocked')} empty="Every request was served" />
      </Card>
      <Card title="Latest events" class="most">
        <RecentEvents />
      </Card>
    </div>
  )
}

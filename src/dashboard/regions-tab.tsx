/** Regions: how they are and were, in and out of service, where traffic was moved, rollouts. */
import { useEffect, useState } from 'preact/hooks'
import type { ControlRegion } from '../admin/regions-view.ts'
import type { RolloutReport } from '../admin/rollout-view.ts'
import { wordsOf } from './api.ts'
import { useDashboard, useLoaded } from './context.ts'
import { count, duration, moment, percent, span, time } from './format.ts'
import { HealthTimeline } from './health-timeline.tsx'
import {
  Action,
  Card,
  Confirm,
  Empty,
  Field,
  Notice,
  State,
  type StateName,
  Unavailable,
} from './parts.tsx'

const REFRESH_MS = 5000

const MARK: Readonly<Record<ControlRegion['state'], StateName>> = {
  up: 'good',
  down: 'bad',
  draining: 'warn',
  drained: 'idle',
}

const TERMS = [
  ['', 'until it is enabled again'],
  ['15m', '15 minutes'],
  ['1h', '1 hour'],
  ['4h', '4 hours'],
] as const

function DrainButton({ region, onDone }: { region: ControlRegion; onDone: () => void }) {
  const { api, say } = useDashboard()
  const [isOpen, setOpen] = useState(false)
  const [term, setTerm] = useState('')
  const [reason, setReason] = useState('')
  const drain = async () => {
    setOpen(false)
    try {
      await api.post(`regions/${encodeURIComponent(region.name)}/drain`, {
        ...(term === '' ? {} : { for: term }),
        ...(reason.trim() === '' ? {} : { reason: reason.trim() }),
      })
      say(`${region.name} is being drained`)
    } catch (error) {
      say(wordsOf(error), 'bad')
    }
    onDone()
  }
  return (
    <>
      <button type="button" class="danger small" onClick={() => setOpen(true)}>
        Drain…
      </button>
      {isOpen && (
        <Confirm
          title={`Drain ${region.name}?`}
          button="Drain"
          onYes={() => void drain()}
          onNo={() => setOpen(false)}
        >
          <div class="stack">
            <p>
              No new request goes there; {count(region.inflight)} under way may end. Its clients go
              to their next region.
            </p>
            <Field label="For">
              <select value={term} onChange={(event) => setTerm(event.currentTarget.value)}>
                {TERMS.map(([value, name]) => (
                  <option key={value} value={value}>
                    {name}
                  </option>
                ))}
              </select>
            </Field>
            <Field label="Reason" hint="For the audit log and whoever looks next.">
              <input
                value={reason}
                maxLength={256}
                onInput={(event) => setReason(event.currentTarget.value)}
              />
            </Field>
          </div>
        </Confirm>
      )}
    </>
  )
}

function drainWords(region: ControlRegion): string | undefined {
  if (!region.drained) return undefined
  const parts = [
    region.drainedBy === 'config' ? 'by the config' : `by ${region.by ?? 'an operator'}`,
    region.since === null ? '' : `since ${moment(region.since)}`,
    region.until === null ? '' : `until ${moment(region.until)}`,
    region.reason ?? '',
  ]
  return `Drained ${parts.filter((part) => part !== '').join(', ')}`
}

function RegionCard({ region, onDone }: { region: ControlRegion; onDone: () => void }) {
  const { api, say, frames } = useDashboard()
  const requests = frames
    .slice(-10)
    .flatMap((frame) => frame.flows)
    .filter((flow) => flow.to === region.name)
    .reduce((sum, { counts }) => sum + counts.origin + counts.failed, 0)
  const seconds = frames.slice(-10).reduce((sum, frame) => sum + frame.seconds, 0)
  const enable = async () => {
    await api.post(`regions/${encodeURIComponent(region.name)}/enable`, {})
    say(`${region.name} is in service again`)
    onDone()
  }
  return (
    <Card
      title={region.name}
      hint={<State state={MARK[region.state]}>{region.state}</State>}
      actions={
        region.drained ? (
          <Action run={enable} kind="primary" disabled={region.drainedBy === 'config'}>
            Enable
          </Action>
        ) : (
          <DrainButton region={region} onDone={onDone} />
        )
      }
    >
      {region.drained && <Notice kind="info">{drainWords(region)}</Notice>}
      <dl class="facts-list">
        <div>
          <dt>Requests a second</dt>
          <dd>{seconds === 0 ? '–' : (requests / seconds).toFixed(1)}</dd>
        </div>
        <div>
          <dt>In flight</dt>
          <dd>{count(region.inflight)}</dd>
        </div>
      </dl>
      <ul class="origins">
        {region.pools.flatMap((pool) =>
          pool.origins.map((origin) => (
            <li key={origin.id}>
              <State state={origin.healthy ? 'good' : 'bad'}>{origin.health}</State>
              <span class="label">{origin.id}</span>
              <span class="hint">{origin.why}</span>
            </li>
          )),
        )}
      </ul>
    </Card>
  )
}

function Failovers() {
  const { events } = useDashboard()
  const shown = events.filter(({ kind }) => kind === 'steering').slice(0, 30)
  if (shown.length === 0) {
    return (
      <Empty title="No failover yet">A request that another region answered is listed here.</Empty>
    )
  }
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">What</th>
            <th scope="col">From → to</th>
            <th scope="col">Because</th>
            <th scope="col">Path</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ time: at, what, detail, sequence }) => (
            <tr key={`${at} ${sequence}`}>
              <td>{time(at)}</td>
              <td>{what}</td>
              <td>
                {detail.from === undefined
                  ? String(detail.region ?? detail.rollout ?? '')
                  : `${String(detail.from)} → ${String(detail.to)}`}
              </td>
              <td>{String(detail.because ?? detail.reason ?? detail.note ?? detail.by ?? '')}</td>
              <td>
                <code>{String(detail.path ?? '')}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

type Command = 'advance' | 'rollback' | 'freeze' | 'resume'

function Arm({ name, pool, arm }: { name: string; pool: string; arm: RolloutReport['old'] }) {
  const errors = arm.requests === 0 ? null : arm.errors / arm.requests
  return (
    <tr>
      <th scope="row">
        {name}: {pool}
      </th>
      <td>{count(arm.requests)}</td>
      <td>{percent(errors)}</td>
      <td>{duration(arm.p95Ms)}</td>
    </tr>
  )
}

function RolloutCard({ report, onDone }: { report: RolloutReport; onDone: () => void }) {
  const { api, say } = useDashboard()
  const order = (command: Command) => async () => {
    await api.post('rollouts', { rollout: report.rollout, command })
    say(`${report.rollout}: ${command} done`)
    onDone()
  }
  const isFrozen = report.phase === 'frozen'
  const next = report.steps[report.step + 1]
  return (
    <Card
      title={`Rollout ${report.rollout}`}
      hint={`${report.from} → ${report.to}`}
      class="rollout"
      actions={
        <>
          <Action
            run={order('advance')}
            disabled={isFrozen || next === undefined}
            confirm={{
              title: `Advance ${report.rollout} to ${next ?? 100} %?`,
              text: `${next ?? 100} % of clients then go to ${report.to}.`,
              button: 'Advance',
            }}
          >
            Advance
          </Action>
          {isFrozen ? (
            <Action run={order('resume')}>Resume</Action>
          ) : (
            <Action run={order('freeze')}>Freeze</Action>
          )}
          <Action
            run={order('rollback')}
            kind="danger"
            confirm={{
              title: `Roll ${report.rollout} back?`,
              text: `Everybody goes back to ${report.from}, at once.`,
              button: 'Roll back',
            }}
          >
            Roll back
          </Action>
        </>
      }
    >
      <div class="progress">
        <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width="100" height="6" />
          <rect class="accent" width={report.percent} height="6" />
          {report.steps.map((step) => (
            <rect key={step} class="tick" x={Math.min(99.6, step)} width="0.4" height="6" />
          ))}
        </svg>
        <strong>{report.percent} %</strong>
      </div>
      <p>
        {report.phase}, for {span(report.sinceMs)} of {span(report.bakeMs)}
        {report.note === '' ? '' : `: ${report.note}`}
        {report.elsewhere > 0 ? `; ${report.elsewhere} processes are elsewhere` : ''}
      </p>
      <table>
        <thead>
          <tr>
            <th scope="col">Since the last comparison</th>
            <th scope="col">Requests</th>
            <th scope="col">Errors</th>
            <th scope="col">p95</th>
          </tr>
        </thead>
        <tbody>
          <Arm name="old" pool={report.from} arm={report.old} />
          <Arm name="new" pool={report.to} arm={report.new} />
        </tbody>
      </table>
    </Card>
  )
}

export function RegionsTab() {
  const { events, frames } = useDashboard()
  const regions = useLoaded<{ regions: ControlRegion[] }>('regions', REFRESH_MS)
  const rollouts = useLoaded<{ rollouts: RolloutReport[] }>('rollouts', REFRESH_MS)
  const { reload } = regions
  const last = frames.at(-1)
  const hasMoved = last?.events.some(({ kind }) => kind === 'health' || kind === 'steering')
  useEffect(() => {
    if (hasMoved === true) reload()
  }, [last])
  const list = regions.value?.regions ?? []
  return (
    <div class="stack">
      {regions.isMissing && <Unavailable what="Draining regions" />}
      {regions.error !== undefined && !regions.isMissing && (
        <Notice kind="bad">{regions.error}</Notice>
      )}
      {regions.value !== undefined && list.length === 0 && (
        <Empty title="The config has no regions">
          Pools that stand in no region are used as the routes say.
        </Empty>
      )}
      <div class="three">
        {list.map((region) => (
          <RegionCard key={region.name} region={region} onDone={regions.reload} />
        ))}
      </div>
      {list.length > 0 && (
        <Card
          title="Health of origins"
          hint="the last 15 minutes; grey is before the first event that is kept"
        >
          <HealthTimeline
            rows={list.flatMap((region) =>
              region.pools.flatMap((pool) =>
                pool.origins.map(({ id, health }) => ({ id, state: health })),
              ),
            )}
            events={events}
          />
        </Card>
      )}
      {rollouts.value?.rollouts.map((report) => (
        <RolloutCard key={report.rollout} report={report} onDone={rollouts.reload} />
      ))}
      {rollouts.value?.rollouts.length === 0 && (
        <Card title="Rollouts">
          <Empty title="No route has a rollout" />
        </Card>
      )}
      <Card title="Failover log" hint="newest first">
        <Failovers />
      </Card>
    </div>
  )
}

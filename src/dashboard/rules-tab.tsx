/** Rules: edit a ruleset, see what is wrong at its line, try it on recorded requests, publish. */
import { useEffect, useState } from 'preact/hooks'
import type { DryRun, DryRunRequest, RulesetInfo, TextProblem } from '../admin/publish-view.ts'
import { ApiError, isMissing, wordsOf } from './api.ts'
import { useDashboard, useLoaded } from './context.ts'
import { count } from './format.ts'
import { JsonEditor, syntaxProblems } from './json-editor.tsx'
import { Action, Card, Empty, Field, Notice, State, Unavailable } from './parts.tsx'
import { problemsOf, publish, readSource, type SourceText } from './publishing.ts'

/** After the last key, before the gateway is asked. */
const PAUSE_MS = 500
const SHOWN_GROUPS = 15

/** Requests that are alike in one row, the most frequent first. */
function grouped(list: readonly DryRunRequest[]): [one: DryRunRequest, requests: number][] {
  const groups = new Map<string, [DryRunRequest, number]>()
  for (const one of list) {
    const key = [one.method, one.path, one.route, ...one.rules].join(' ')
    const known = groups.get(key)
    if (known === undefined) groups.set(key, [one, 1])
    else known[1]++
  }
  return [...groups.values()].sort((a, b) => b[1] - a[1])
}

function DryRunList(props: { title: string; total: number; list: readonly DryRunRequest[] }) {
  if (props.total === 0) return null
  const groups = grouped(props.list)
  return (
    <div class="stack">
      <h3>
        {props.title}: {count(props.total)}
      </h3>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Request</th>
              <th scope="col">Route</th>
              <th scope="col">Rules</th>
              <th scope="col">Requests</th>
            </tr>
          </thead>
          <tbody>
            {groups.slice(0, SHOWN_GROUPS).map(([one, requests]) => (
              <tr key={one.id}>
                <td>
                  <code>
                    {one.method} {one.path}
                  </code>
                </td>
                <td>{one.route ?? ''}</td>
                <td>{one.rules.join(', ')}</td>
                <td>{count(requests)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {groups.length > SHOWN_GROUPS && (
        <p class="hint">and {count(groups.length - SHOWN_GROUPS)} other kinds of requests</p>
      )}
    </div>
  )
}

function DryRunView({ result }: { result: DryRun }) {
  const changes = result.newlyBlockedCount + result.newlyPassedCount
  return (
    <Card
      title="Dry run"
      hint={`${count(result.requests)} recorded requests, ${count(result.withoutBody)} of them without their body`}
    >
      {result.requests === 0 && <Empty title="No request is recorded yet" />}
      {result.requests > 0 && changes === 0 && (
        <Notice kind="info">
          Every recorded request would be judged as before
          {result.otherRules > 0 ? `, ${count(result.otherRules)} of them by other rules` : ''}.
        </Notice>
      )}
      <DryRunList
        title="Would be blocked now"
        total={result.newlyBlockedCount}
        list={result.newlyBlocked}
      />
      <DryRunList
        title="Would pass now"
        total={result.newlyPassedCount}
        list={result.newlyPassed}
      />
      {changes > 0 && <p class="hint">{count(result.unchanged)} are judged as before.</p>}
    </Card>
  )
}

/** What is wrong with the text: syntax at once, the rest from the gateway after a pause. */
function useProblems(
  name: string,
  text: string,
  isChanged: boolean,
): [
  problems: readonly TextProblem[],
  isChecked: boolean,
  set: (all: readonly TextProblem[]) => void,
] {
  const { api } = useDashboard()
  const [problems, setProblems] = useState<readonly TextProblem[]>([])
  const [isChecked, setChecked] = useState(false)
  useEffect(() => {
    setChecked(false)
    if (!isChanged) {
      setProblems([])
      return undefined
    }
    const syntax = syntaxProblems(text)
    setProblems(syntax)
    if (syntax.length > 0) return undefined
    let isOver = false
    const timer = setTimeout(() => {
      api.post<{ problems: TextProblem[] }>('rules/validate', { name, text }).then(
        (answer) => {
          if (isOver) return
          setProblems(answer.problems)
          setChecked(answer.problems.length === 0)
        },
        (error) => {
          if (!isOver) setProblems([{ path: '', message: wordsOf(error) }])
        },
      )
    }, PAUSE_MS)
    return () => {
      isOver = true
      clearTimeout(timer)
    }
  }, [api, name, text, isChanged])
  return [problems, isChecked, setProblems]
}

function RulesetEditor({ info, onPublished }: { info: RulesetInfo; onPublished: () => void }) {
  const { api, say } = useDashboard()
  const [source, setSource] = useState<SourceText | undefined>()
  const [text, setText] = useState('')
  const [problem, setProblem] = useState<string | undefined>()
  const [result, setResult] = useState<DryRun | undefined>()
  const path = `rules/${encodeURIComponent(info.name)}`
  const isChanged = source !== undefined && text !== source.text
  const [problems, isChecked, setProblems] = useProblems(info.name, text, isChanged)

  const load = async () => {
    setProblem(undefined)
    setResult(undefined)
    try {
      const found = await readSource(api, path)
      setSource(found)
      setText(found.text)
    } catch (error) {
      setProblem(wordsOf(error))
    }
  }
  // The editor is made anew for each ruleset.
  useEffect(() => {
    void load()
  }, [])

  const fail = (error: unknown) => {
    const found = problemsOf(error)
    if (found !== undefined) setProblems(found)
    else setProblem(wordsOf(error))
  }
  const dryRun = async () => {
    setProblem(undefined)
    try {
      setResult(await api.post<DryRun>('rules/dry-run', { name: info.name, text }))
    } catch (error) {
      setResult(undefined)
      fail(error)
    }
  }
  const work = async () => {
    if (source === undefined) return
    setProblem(undefined)
    try {
      const done = await publish(api, path, { text, etag: source.etag })
      if (done.outcome === 'published') {
        setSource({ text, etag: done.etag })
        setResult(undefined)
        say(
          `${info.name} is in use in ${done.workers === 1 ? '1 process' : `${done.workers} processes`}`,
        )
        onPublished()
      } else if (done.outcome === 'stale') {
        setProblem(
          'Somebody changed this ruleset since you opened it. Copy your text, revert, and put it in again.',
        )
      } else setProblems(done.problems)
    } catch (error) {
      if (error instanceof ApiError && isMissing(error)) setProblem('This ruleset is gone.')
      else fail(error)
    }
  }
  return (
    <>
      <Card
        title={info.name}
        hint={info.source}
        actions={
          <State state={problems.length > 0 ? 'bad' : isChanged ? 'warn' : 'good'}>
            {problems.length > 0
              ? `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`
              : isChanged
                ? isChecked
                  ? 'changed, holds'
                  : 'changed, checking…'
                : 'as in use'}
          </State>
        }
      >
        {!info.writable && (
          <Notice kind="info">
            Read-only: {info.why ?? 'it comes with the gateway'}. A dry run works all the same.
          </Notice>
        )}
        <JsonEditor
          label={`Ruleset ${info.name}, JSON`}
          text={text}
          problems={problems}
          onInput={setText}
        />
        {problem !== undefined && <Notice kind="bad">{problem}</Notice>}
        <div class="actions">
          <Action run={dryRun} disabled={problems.length > 0 || source === undefined}>
            Dry run
          </Action>
          <Action
            run={work}
            kind="primary"
            disabled={!info.writable || !isChanged || !isChecked}
            confirm={{
              title: `Publish ${info.name}?`,
              text: 'The file is replaced and taken into use at once, in every process.',
              button: 'Publish',
            }}
          >
            Publish
          </Action>
          <Action
            run={load}
            disabled={!isChanged && problem === undefined}
            {...(isChanged
              ? {
                  confirm: {
                    title: 'Throw your changes away?',
                    text: 'The text becomes what is on disk now.',
                    button: 'Revert',
                  },
                }
              : {})}
          >
            Revert
          </Action>
        </div>
      </Card>
      {result !== undefined && <DryRunView result={result} />}
    </>
  )
}

export function RulesTab() {
  const rules = useLoaded<{ rulesets: RulesetInfo[] }>('rules')
  const [name, setName] = useState<string | undefined>()
  const rulesets = rules.value?.rulesets ?? []
  const shown =
    rulesets.find((one) => one.name === name) ?? rulesets.find((one) => one.writable) ?? rulesets[0]
  if (rules.isMissing) return <Unavailable what="Editing rules" />
  return (
    <div class="stack">
      {rules.error !== undefined && <Notice kind="bad">{rules.error}</Notice>}
      {rules.value !== undefined && shown === undefined && (
        <Empty title="The config names no ruleset">See waf.rulesets.</Empty>
      )}
      {shown !== undefined && (
        <div class="picker">
          <Field label="Ruleset">
            <select value={shown.name} onChange={(event) => setName(event.currentTarget.value)}>
              {rulesets.map((one) => (
                <option key={one.name} value={one.name}>
                  {one.name}: {one.rules} {one.rules === 1 ? 'rule' : 'rules'}, {one.mode}
                  {one.writable ? '' : ', read-only'}
                </option>
              ))}
            </select>
          </Field>
        </div>
      )}
      {shown !== undefined && (
        <RulesetEditor key={shown.name} info={shown} onPublished={rules.reload} />
      )}
    </div>
  )
}

/** Makes the exception that lets one kind of request off one rule, and publishes it where that is possible. */
import { useState } from 'preact/hooks'
import type { TextProblem } from '../admin/publish-view.ts'
import type { GatewayEvent } from '../telemetry/events.ts'
import { ApiError, isMissing, wordsOf } from './api.ts'
import { useDashboard } from './context.ts'
import { exceptionOf, folderOf, type Reach, rulesOf, targetOf, withException } from './exception.ts'
import { Action, Code, Field, Notice } from './parts.tsx'
import { problemWords, publish, readSource } from './publishing.ts'

export function ExceptionMaker(props: { event: GatewayEvent; onPublished: () => void }) {
  const { event } = props
  const { api, say, refreshStatus } = useDashboard()
  const all = rulesOf(event)
  const path = String(event.detail.path ?? '/')
  const target = targetOf(event)
  const [rules, setRules] = useState<readonly string[]>(all)
  const [reach, setReach] = useState<Reach>('path')
  const [onlyTarget, setOnlyTarget] = useState(target !== undefined)
  const [why, setWhy] = useState('')
  const [problems, setProblems] = useState<readonly string[]>([])
  const exception = exceptionOf(event, { rules, reach, onlyTarget, why })
  const toggle = (rule: string, isChosen: boolean) =>
    setRules(all.filter((one) => (one === rule ? isChosen : rules.includes(one))))

  const work = async () => {
    setProblems([])
    try {
      const source = await readSource(api, 'config/source')
      const text = withException(source.text, exception)
      const result = await publish(api, 'config', { ...source, text })
      if (result.outcome === 'published') {
        say('The exception is in the config and in use')
        refreshStatus()
        props.onPublished()
      } else if (result.outcome === 'stale') {
        setProblems(['Somebody changed the config just now; publish again.'])
      } else setProblems(result.problems.map((one: TextProblem) => problemWords(one)))
    } catch (error) {
      if (isMissing(error)) {
        setProblems(['This gateway cannot be changed from here: put the JSON into its config.'])
      } else if (error instanceof ApiError && error.status === 403) {
        setProblems([`${error.message} Put the JSON into the config instead.`])
      } else setProblems([wordsOf(error)])
    }
  }
  const reaches: readonly (readonly [Reach, string])[] = [
    ['path', `Only ${path}`],
    ['below', `Everything below ${folderOf(path)}`],
    ['all', 'Every request'],
  ]
  return (
    <div class="stack">
      <fieldset>
        <legend>Rules</legend>
        {all.map((rule) => (
          <label key={rule} class="check">
            <input
              type="checkbox"
              checked={rules.includes(rule)}
              onChange={(change) => toggle(rule, change.currentTarget.checked)}
            />
            <code>{rule}</code>
          </label>
        ))}
      </fieldset>
      <fieldset>
        <legend>For</legend>
        {reaches.map(([value, name]) => (
          <label key={value} class="check">
            <input
              type="radio"
              name="reach"
              checked={reach === value}
              onChange={() => setReach(value)}
            />
            {name}
          </label>
        ))}
      </fieldset>
      {target !== undefined && (
        <label class="check">
          <input
            type="checkbox"
            checked={onlyTarget}
            onChange={(change) => setOnlyTarget(change.currentTarget.checked)}
          />
          <span>
            Only <code>{target}</code>; the rules go on to look at everything else
          </span>
        </label>
      )}
      <Field label="Why" hint="Stands in the config, for the next reader.">
        <input value={why} onInput={(input) => setWhy(input.currentTarget.value)} />
      </Field>
      <Code label="waf.exceptions[]" text={JSON.stringify(exception, null, 2)} />
      {problems.map((problem) => (
        <Notice key={problem} kind="bad">
          {problem}
        </Notice>
      ))}
      <div class="actions">
        <Action
          run={work}
          kind="primary"
          disabled={rules.length === 0}
          confirm={{
            title: 'Publish this exception?',
            text: 'It is written into the config file and taken into use in every process. Requests that it names are not stopped by these rules any more.',
            button: 'Publish',
          }}
        >
          Publish exception
        </Action>
      </div>
    </div>
  )
}

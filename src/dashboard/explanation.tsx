/** An explanation: each step of the path with its outcome and why. */
import type { Explanation } from '../telemetry/explain.ts'

const MARKS = { passed: '✓', answered: '■', 'not-reached': '·' } as const
const WORDS = { passed: 'passed', answered: 'answered here', 'not-reached': 'not reached' } as const

export function ExplanationView({ explanation }: { explanation: Explanation }) {
  const { steps, answer } = explanation
  return (
    <div class="explanation">
      <ol>
        {steps.map(({ step, outcome, why }) => (
          <li key={step} class={outcome}>
            <span class="mark" aria-hidden="true">
              {MARKS[outcome]}
            </span>
            <span class="label">{step}</span>
            <span>
              {why}
              <span class="unseen"> ({WORDS[outcome]})</span>
            </span>
          </li>
        ))}
      </ol>
      <p>
        <strong>
          {answer.status} {answer.outcome}
        </strong>{' '}
        {answer.title}
      </p>
    </div>
  )
}

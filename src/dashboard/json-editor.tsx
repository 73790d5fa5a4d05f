/** A text area that numbers its lines and marks those with a problem. */
import { type ParseError, parse, printParseErrorCode } from 'jsonc-parser'
import { useMemo, useRef } from 'preact/hooks'
import type { TextProblem } from '../admin/publish-view.ts'
import { problemWords } from './publishing.ts'

function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

/** Words out of the parser's names: `CommaExpected`. */
const words = (name: string) => name.replaceAll(/(?<=[a-z])([A-Z])/g, ' $1').toLowerCase()

/** What keeps the text from being JSON; comments are for the gateway to judge. */
export function syntaxProblems(text: string): TextProblem[] {
  const errors: ParseError[] = []
  parse(text, errors, { allowTrailingComma: false, disallowComments: false })
  return errors.map(({ error, offset }) => ({
    path: '',
    message: words(printParseErrorCode(error)),
    ...lineAndColumn(text, offset),
  }))
}

export function JsonEditor(props: {
  label: string
  text: string
  problems: readonly TextProblem[]
  onInput: (text: string) => void
}) {
  const area = useRef<HTMLTextAreaElement>(null)
  const gutter = useRef<HTMLOListElement>(null)
  const lines = useMemo(() => props.text.split('\n').length, [props.text])
  const marked = new Set(props.problems.map((problem) => problem.line))
  const goTo = (problem: TextProblem) => {
    const element = area.current
    if (element === null || problem.line === undefined) return
    const rows = props.text.split('\n')
    const start = rows.slice(0, problem.line - 1).reduce((sum, row) => sum + row.length + 1, 0)
    element.focus()
    element.setSelectionRange(start, start + (rows[problem.line - 1]?.length ?? 0))
    element.scrollTop = Math.max(0, (problem.line - 4) * 20)
  }
  return (
    <div class="editor-box">
      <div class="editor">
        <ol
          ref={gutter}
          aria-hidden="true"
          style={{ height: `${Math.min(30, Math.max(10, lines)) * 20 + 20}px` }}
        >
          {Array.from({ length: lines }, (_, index) => (
            <li key={`line ${index + 1}`} class={marked.has(index + 1) ? 'marked' : ''}>
              {index + 1}
            </li>
          ))}
        </ol>
        <textarea
          ref={area}
          aria-label={props.label}
          aria-invalid={props.problems.length > 0}
          wrap="off"
          spellcheck={false}
          autocomplete="off"
          value={props.text}
          style={{ height: `${Math.min(30, Math.max(10, lines)) * 20 + 20}px` }}
          onInput={(event) => props.onInput(event.currentTarget.value)}
          onScroll={(event) => {
            if (gutter.current !== null) gutter.current.scrollTop = event.currentTarget.scrollTop
          }}
        />
      </div>
      {props.problems.length > 0 && (
        <ul class="problems" role="status">
          {props.problems.map((problem) => (
            <li key={problemWords(problem)}>
              <button type="button" class="link" onClick={() => goTo(problem)}>
                {problemWords(problem)}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}

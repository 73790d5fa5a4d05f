/** The pieces that tabs are made of. */
import { type ComponentChildren, cloneElement, type JSX } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { wordsOf } from './api.ts'
import { useDashboard } from './context.ts'

export function Card(props: {
  title: string
  hint?: ComponentChildren
  actions?: ComponentChildren
  class?: string
  children: ComponentChildren
}) {
  const id = useId()
  return (
    <section class={`card ${props.class ?? ''}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{props.title}</h2>
        {props.hint !== undefined && <p class="hint">{props.hint}</p>}
        {props.actions !== undefined && <div class="actions">{props.actions}</div>}
      </header>
      {props.children}
    </section>
  )
}

export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{props.title}</strong>
      {props.children !== undefined && <p>{props.children}</p>}
    </div>
  )
}

export function Notice(props: { kind: 'bad' | 'info'; children: ComponentChildren }) {
  return (
    <p class={`notice ${props.kind}`} role={props.kind === 'bad' ? 'alert' : 'status'}>
      {props.children}
    </p>
  )
}

/** A path that this gateway does not have. */
export function Unavailable(props: { what: string }) {
  return <Empty title={`${props.what} is not available on this gateway`} />
}

export type StateName = 'good' | 'bad' | 'idle' | 'warn'
const MARKS: Readonly<Record<StateName, string>> = { good: '●', bad: '▲', idle: '○', warn: '◆' }

/** A state in words, with a mark of its own shape: colour alone says nothing to some. */
export function State(props: { state: StateName; children: ComponentChildren }) {
  return (
    <span class={`state ${props.state}`}>
      <i aria-hidden="true">{MARKS[props.state]}</i>
      {props.children}
    </span>
  )
}

export interface BarRow {
  readonly key: string
  readonly label: ComponentChildren
  readonly value: number
  readonly text: string
  readonly colour?: string
}

/** A short ranking with bars to scale. */
export function Bars(props: { rows: readonly BarRow[]; most?: number; empty: string }) {
  if (props.rows.length === 0) return <Empty title={props.empty} />
  const most = props.most ?? Math.max(...props.rows.map((row) => row.value), 1e-9)
  return (
    <ul class="bars">
      {props.rows.map((row) => (
        <li key={row.key}>
          <span class="label">{row.label}</span>
          <span class="figure">{row.text}</span>
          <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
            <rect class="track" width="100" height="4" />
            <rect
              class={row.colour ?? 'accent'}
              width={Math.min(100, (row.value / most) * 100)}
              height="4"
            />
          </svg>
        </li>
      ))}
    </ul>
  )
}

/** A button that is busy while its work is under way, and says what went wrong. */
export function Action(props: {
  children: ComponentChildren
  run: () => Promise<unknown>
  /** Asked before it is done. */
  confirm?: { title: string; text: ComponentChildren; button: string }
  kind?: 'primary' | 'danger' | 'plain'
  disabled?: boolean
  label?: string
}) {
  const { say } = useDashboard()
  const [isBusy, setBusy] = useState(false)
  const [isAsking, setAsking] = useState(false)
  const run = async () => {
    setAsking(false)
    setBusy(true)
    try {
      await props.run()
    } catch (error) {
      say(wordsOf(error), 'bad')
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <button
        type="button"
        class={props.kind ?? 'plain'}
        disabled={props.disabled === true || isBusy}
        aria-busy={isBusy}
        aria-label={props.label}
        onClick={() => (props.confirm === undefined ? void run() : setAsking(true))}
      >
        {props.children}
      </button>
      {isAsking && props.confirm !== undefined && (
        <Confirm
          title={props.confirm.title}
          button={props.confirm.button}
          onYes={() => void run()}
          onNo={() => setAsking(false)}
        >
          {props.confirm.text}
        </Confirm>
      )}
    </>
  )
}

export function Confirm(props: {
  title: string
  button: string
  children: ComponentChildren
  onYes: () => void
  onNo: () => void
}) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const dialog = ref.current
    dialog?.showModal()
    return () => dialog?.close()
  }, [])
  return (
    <dialog ref={ref} aria-labelledby={id} onCancel={props.onNo}>
      <h2 id={id}>{props.title}</h2>
      <div>{props.children}</div>
      <div class="actions">
        <button type="button" class="plain" onClick={props.onNo}>
          Cancel
        </button>
        <button type="button" class="danger" onClick={props.onYes}>
          {props.button}
        </button>
      </div>
    </dialog>
  )
}

/** A control with its name above it and a hint that belongs to it. */
export function Field(props: { label: string; hint?: string; children: JSX.Element }) {
  const id = useId()
  const hintId = `${id}-hint`
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {cloneElement(props.children, {
        id,
        ...(props.hint === undefined ? {} : { 'aria-describedby': hintId }),
      })}
      {props.hint !== undefined && <small id={hintId}>{props.hint}</small>}
    </div>
  )
}

/** JSON to read and to take along. */
export function Code(props: { text: string; label: string }) {
  const { say } = useDashboard()
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(props.text)
      say('Copied')
    } catch {
      say('The browser did not allow copying; mark the text instead', 'bad')
    }
  }
  return (
    <figure class="code">
      <figcaption>
        {props.label}
        <button type="button" class="plain small" onClick={() => void copy()}>
          Copy
        </button>
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
      <pre tabIndex={0}>{props.text}</pre>
    </figure>
  )
}

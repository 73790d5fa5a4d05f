/** Tabs by the ARIA pattern: one stop for the Tab key, arrows move, the address remembers. */
import type { ComponentType } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'

export interface TabDefinition {
  readonly id: string
  readonly name: string
  readonly view: ComponentType
}

function fromAddress(tabs: readonly TabDefinition[]): number {
  const found = tabs.findIndex((tab) => `#${tab.id}` === location.hash)
  return Math.max(found, 0)
}

export function Tabs({ tabs }: { tabs: readonly TabDefinition[] }) {
  const [current, setCurrent] = useState(() => fromAddress(tabs))
  const list = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const onHash = () => setCurrent(fromAddress(tabs))
    addEventListener('hashchange', onHash)
    return () => removeEventListener('hashchange', onHash)
  }, [tabs])
  const show = (index: number) => {
    const tab = tabs[index]
    if (tab !== undefined) location.hash = tab.id
  }
  const onKey = (event: KeyboardEvent) => {
    const { length } = tabs
    const next: Readonly<Record<string, number>> = {
      ArrowRight: (current + 1) % length,
      ArrowLeft: (current + length - 1) % length,
      Home: 0,
      End: length - 1,
    }
    const index = next[event.key]
    if (index === undefined) return
    event.preventDefault()
    show(index)
    list.current?.querySelectorAll('button')[index]?.focus()
  }
  const shown = tabs[current] as TabDefinition
  return (
    <>
      <div class="tabs" role="tablist" aria-label="Dashboard" ref={list} onKeyDown={onKey}>
        {tabs.map((tab, index) => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`tab-${tab.id}`}
            aria-selected={index === current}
            aria-controls="panel"
            tabIndex={index === current ? 0 : -1}
            onClick={() => show(index)}
          >
            {tab.name}
          </button>
        ))}
      </div>
      <main>
        <div id="panel" role="tabpanel" aria-labelledby={`tab-${shown.id}`} tabIndex={-1}>
          <shown.view key={shown.id} />
        </div>
      </main>
    </>
  )
}

/** Light or dark: as the system says, unless the reader chose. */
import { useEffect, useState } from 'preact/hooks'

const THEMES = ['auto', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]
const KEY = 'meridian-theme'

function saved(): Theme {
  return THEMES.find((one) => one === localStorage.getItem(KEY)) ?? 'auto'
}

/** @returns the choice, how to go on to the next one, and a number that rises when colours change */
export function useTheme(): { theme: Theme; next: () => void; version: number } {
  const [theme, setTheme] = useState<Theme>(saved)
  const [version, setVersion] = useState(0)
  useEffect(() => {
    document.documentElement.dataset.theme = theme
    if (theme === 'auto') localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, theme)
    setVersion((before) => before + 1)
  }, [theme])
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const onChange = () => setVersion((before) => before + 1)
    dark.addEventListener('change', onChange)
    return () => dark.removeEventListener('change', onChange)
  }, [])
  const next = () =>
    setTheme((before) => THEMES[(THEMES.indexOf(before) + 1) % THEMES.length] ?? 'auto')
  return { theme, next, version }
}

import { Monitor, Moon, Sun } from 'lucide-react'
import { useEffect, useState } from 'react'
import { chooseTheme, chosenTheme, followSystem, type Theme } from './theme.ts'

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' }
const ICON = { system: Monitor, light: Sun, dark: Moon }

export function ThemeButton() {
  const [theme, setTheme] = useState(chosenTheme)
  useEffect(followSystem, [])
  const Icon = ICON[theme]
  const next = NEXT[theme]
  return (
    <button
      type="button"
      aria-label={`Theme: ${theme}. Change to ${next}`}
      title={`Theme: ${theme}`}
      className="grid size-9 place-items-center rounded-md text-ink-2 hover:bg-hover hover:text-ink"
      onClick={() => {
        chooseTheme(next)
        setTheme(next)
      }}
    >
      <Icon aria-hidden size={17} />
    </button>
  )
}

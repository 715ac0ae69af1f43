/** Light, dark, or what the system says; kept in the browser. `public/theme.js` applies it before the first paint. */

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'assay-theme'
const systemDark = () => matchMedia('(prefers-color-scheme: dark)')

export function chosenTheme(): Theme {
  try {
    const kept = localStorage.getItem(KEY)
    return kept === 'light' || kept === 'dark' ? kept : 'system'
  } catch {
    return 'system'
  }
}

export function chooseTheme(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme)
  } catch {
    // Without storage the choice holds until the page is left.
  }
  apply(theme)
}

/** Follows the system while it is the system's choice. Returns how to stop. */
export function followSystem(): () => void {
  const query = systemDark()
  const change = () => apply(chosenTheme())
  query.addEventListener('change', change)
  return () => query.removeEventListener('change', change)
}

function apply(theme: Theme): void {
  const dark = theme === 'dark' || (theme === 'system' && systemDark().matches)
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
}

import { Link, Outlet, useNavigate } from '@tanstack/react-router'
import { Keyboard } from 'lucide-react'
import { useState } from 'react'
import { Logo } from '../ui/logo.tsx'
import { useShortcuts } from '../ui/shortcuts.ts'
import { ConnectionSign } from './connection.tsx'
import { ShortcutHelp } from './help.tsx'
import { ThemeButton } from './theme-button.tsx'

const NAV_LINK =
  'flex h-14 items-center border-b-2 border-transparent px-2 text-sm font-medium text-ink-2 hover:text-ink aria-[current=page]:border-accent aria-[current=page]:text-ink sm:px-3'

export function Shell() {
  const [helping, setHelping] = useState(false)
  const navigate = useNavigate()
  useShortcuts({
    'g r': () => void navigate({ to: '/runs' }),
    'g p': () => void navigate({ to: '/preflights' }),
    'g e': () => void navigate({ to: '/evidence' }),
    n: () => void navigate({ to: '/runs/new' }),
    '?': () => setHelping(true),
  })
  return (
    <>
      <a
        href="#main"
        className="sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:z-50 focus:rounded focus:bg-panel focus:p-2"
      >
        Skip to content
      </a>
      <header className="shell sticky top-0 z-30 border-b border-line bg-paper/92 backdrop-blur">
        <div className="mx-auto flex h-14 max-w-[90rem] items-center gap-2 px-4 sm:gap-4 sm:px-6">
          <Link to="/runs" className="mr-1 flex items-center gap-2 sm:mr-3" aria-label="Assay, home">
            <Logo />
            <span className="text-base font-semibold tracking-tight">Assay</span>
          </Link>
          <nav aria-label="Main" className="flex">
            <Link to="/runs" activeOptions={{ includeSearch: false }} className={NAV_LINK}>
              Runs
            </Link>
            <Link to="/preflights" className={NAV_LINK}>
              Preflight
            </Link>
            <Link to="/evidence" activeOptions={{ includeSearch: false }} className={NAV_LINK}>
              Evidence
            </Link>
          </nav>
          <div className="ml-auto flex items-center gap-1 sm:gap-2">
            <ConnectionSign />
            <button
              type="button"
              aria-label="Keyboard shortcuts"
              title="Keyboard shortcuts (?)"
              className="hidden size-9 place-items-center rounded-md text-ink-2 hover:bg-hover hover:text-ink sm:grid"
              onClick={() => setHelping(true)}
            >
              <Keyboard aria-hidden size={18} />
            </button>
            <ThemeButton />
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1} className="mx-auto max-w-[90rem] px-4 pt-6 pb-16 outline-none sm:px-6">
        <Outlet />
      </main>
      <ShortcutHelp open={helping} onClose={() => setHelping(false)} />
    </>
  )
}

import { useNavigate } from '@tanstack/react-router'
import { Archive, type LucideIcon } from 'lucide-react'
import { useRef } from 'react'
import type { RunSummary } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { SearchField } from '../../../ui/search-field.tsx'
import { useShortcuts } from '../../../ui/shortcuts.ts'
import type { ListSearch } from '../search.ts'
import { STATES, type State } from '../state.tsx'

interface FilterBarProps {
  readonly runs: readonly RunSummary[]
  readonly archived: number
  readonly shown: number
  readonly search: ListSearch
}

export function FilterBar({ runs, archived, shown, search }: FilterBarProps) {
  const navigate = useNavigate()
  const field = useRef<HTMLInputElement>(null)
  useShortcuts({ '/': () => field.current?.focus() })
  const go = (next: ListSearch) => void navigate({ to: '/runs', search: { ...search, ...next }, replace: true })
  const present = (Object.keys(STATES) as State[]).filter((state) => runs.some((run) => run.state === state))
  return (
    <search className="flex flex-wrap items-center gap-x-4 gap-y-2">
      <SearchField
        ref={field}
        label="Filter runs"
        placeholder="Name, tag, config, hardware"
        value={search.q ?? ''}
        onChange={(q) => go({ q: q || undefined })}
        className="w-full sm:w-72"
      />
      <fieldset className="flex flex-wrap gap-1.5">
        <legend className="sr-only">State</legend>
        {present.map((state) => (
          <Chip
            key={state}
            icon={STATES[state].icon}
            word={STATES[state].word}
            count={runs.filter((run) => run.state === state).length}
            chosen={search.state === state}
            onClick={() => go({ state: search.state === state ? undefined : state })}
          />
        ))}
      </fieldset>
      {(archived > 0 || search.archived) && (
        <Chip
          icon={Archive}
          word="Archive"
          count={archived}
          chosen={!!search.archived}
          onClick={() => go({ archived: search.archived ? undefined : true, state: undefined })}
        />
      )}
      <p role="status" className="ml-auto text-xs text-ink-3">
        {shown < runs.length ? `${shown} of ${runs.length} shown` : ''}
      </p>
    </search>
  )
}

interface ChipProps {
  readonly icon: LucideIcon
  readonly word: string
  readonly count: number
  readonly chosen: boolean
  readonly onClick: () => void
}

function Chip({ icon: Icon, word, count, chosen, onClick }: ChipProps) {
  return (
    <button
      type="button"
      aria-pressed={chosen}
      onClick={onClick}
      className={classes(
        'inline-flex min-h-7 items-center gap-1.5 rounded-full border px-2.5 text-xs font-medium',
        chosen ? 'border-accent bg-accent-soft text-accent' : 'border-line bg-panel text-ink-2 hover:bg-hover',
      )}
    >
      <Icon aria-hidden size={13} /> {word}
      <span className={chosen ? undefined : 'text-ink-3'}>{count}</span>
    </button>
  )
}

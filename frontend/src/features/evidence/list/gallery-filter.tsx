import { useNavigate } from '@tanstack/react-router'
import { type ReactNode, useId, useRef } from 'react'
import type { BundleSummary } from '../../../api/types.ts'
import { SearchField } from '../../../ui/search-field.tsx'
import { useShortcuts } from '../../../ui/shortcuts.ts'
import { LEVELS } from '../levels.ts'
import { type GallerySearch, gallerySearch, OUTCOMES, SORTS, type Sort, VERDICTS, type VerdictWord } from '../search.ts'

const VERDICT_LABEL: Record<VerdictWord, string> = {
  verified: 'Verified',
  failed: 'Verification failed',
  unverified: 'Not verified',
}
const SORT_LABEL: Record<Sort, string> = {
  newest: 'Newest first',
  level: 'Highest level',
  loss: 'Lowest final loss',
  score: 'Best exact match',
  name: 'Name',
}

interface GalleryFilterProps {
  readonly bundles: readonly BundleSummary[]
  readonly shown: number
  readonly search: GallerySearch
}

/** Words, four choices and an order, all kept in the address. */
export function GalleryFilter({ bundles, shown, search }: GalleryFilterProps) {
  const navigate = useNavigate()
  const field = useRef<HTMLInputElement>(null)
  useShortcuts({ '/': () => field.current?.focus() })
  const go = (next: Record<string, unknown>) =>
    void navigate({ to: '/evidence', search: gallerySearch({ ...search, ...next }), replace: true })
  const hardware = [...new Set(bundles.flatMap((bundle) => bundle.hardware ?? []))].sort()
  return (
    <search className="grid gap-3">
      <div className="grid grid-cols-2 gap-x-3 gap-y-2 sm:grid-cols-3 lg:grid-cols-[minmax(12rem,1.6fr)_repeat(5,minmax(7rem,1fr))]">
        <SearchField
          ref={field}
          label="Filter bundles"
          placeholder="Name, model, hardware, run"
          value={search.q ?? ''}
          onChange={(q) => go({ q })}
          className="col-span-full self-end lg:col-span-1"
        />
        <Choice label="Verdict" value={search.verdict} onChange={(verdict) => go({ verdict })}>
          <option value="">Any</option>
          {VERDICTS.map((verdict) => (
            <option key={verdict} value={verdict}>
              {VERDICT_LABEL[verdict]}
            </option>
          ))}
        </Choice>
        <Choice label="Level at least" value={search.level} onChange={(level) => go({ level })}>
          <option value="">Any</option>
          {LEVELS.map(({ level, title }) => (
            <option key={level} value={level}>
              {level} {title}
            </option>
          ))}
        </Choice>
        <Choice label="Outcome of the run" value={search.outcome} onChange={(outcome) => go({ outcome })}>
          <option value="">Any</option>
          {OUTCOMES.map((outcome) => (
            <option key={outcome}>{outcome}</option>
          ))}
        </Choice>
        <Choice label="Hardware" value={search.hardware} onChange={(value) => go({ hardware: value })}>
          <option value="">Any</option>
          {hardware.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </Choice>
        <Choice
          label="Order"
          value={search.sort ?? 'newest'}
          onChange={(sort) => go({ sort: sort === 'newest' ? '' : sort })}
        >
          {SORTS.map((sort) => (
            <option key={sort} value={sort}>
              {SORT_LABEL[sort]}
            </option>
          ))}
        </Choice>
      </div>
      <p role="status" className="text-xs text-ink-3 empty:hidden">
        {shown < bundles.length ? `${shown} of ${bundles.length} shown` : ''}
      </p>
    </search>
  )
}

interface ChoiceProps {
  readonly label: string
  readonly value: string | undefined
  readonly onChange: (value: string) => void
  readonly children: ReactNode
}

function Choice({ label, value, onChange, children }: ChoiceProps) {
  const id = useId()
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="mb-0.5 block truncate text-xs text-ink-3">
        {label}
      </label>
      <select
        id={id}
        value={value ?? ''}
        className="field text-sm"
        onChange={(event) => onChange(event.currentTarget.value)}
      >
        {children}
      </select>
    </div>
  )
}

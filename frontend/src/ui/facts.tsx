import type { ReactNode } from 'react'

export interface Fact {
  readonly term: string
  readonly value: ReactNode
}

/** Terms and their values, in two columns; one below the other on a phone. */
export function Facts({ facts }: { readonly facts: readonly Fact[] }) {
  return (
    <dl className="grid gap-x-6 text-sm sm:grid-cols-[minmax(8rem,max-content)_1fr]">
      {facts.map((fact) => (
        <div
          key={fact.term}
          className="col-span-full grid gap-x-6 border-b border-line py-1.5 last:border-0 sm:grid-cols-subgrid"
        >
          <dt className="text-ink-3">{fact.term}</dt>
          <dd className="min-w-0 wrap-anywhere">{fact.value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** A number with its name above it. */
export function Figure({ term, value, note }: Fact & { readonly note?: ReactNode }) {
  return (
    <div className="min-w-0">
      <dt className="truncate text-xs text-ink-3">{term}</dt>
      <dd className="truncate text-lg leading-7 font-semibold tracking-tight">{value}</dd>
      {note && <dd className="truncate text-xs text-ink-3">{note}</dd>}
    </div>
  )
}

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import type { PreflightSummary } from '../../api/types.ts'
import { buttonClass } from '../../ui/button.tsx'
import { classes } from '../../ui/classes.ts'
import { Command } from '../../ui/copy.tsx'
import { Empty, Failure } from '../../ui/notice.tsx'
import { PageHead, useTitle } from '../../ui/page.tsx'
import { useShortcuts } from '../../ui/shortcuts.ts'
import { Ago } from '../../ui/time.tsx'
import { AskForm } from './ask-form.tsx'
import { MemoryBar } from './memory-bar.tsx'
import { bytes } from './numbers.ts'
import { asked, OutcomeBadge } from './outcome.tsx'
import { preflightsQuery } from './queries.ts'

export function PreflightsPage() {
  useTitle('Preflight')
  const preflights = useQuery(preflightsQuery)
  return (
    <div className="grid min-w-0 grid-cols-1 gap-5">
      <PageHead
        title="Preflight"
        lead="Will it fit, and how fast could it be? The TPU's own compiler answers, here, without a TPU."
      />
      {preflights.error && (
        <Failure
          title="The preflights cannot be loaded."
          reason={preflights.error.message}
          retry={() => void preflights.refetch()}
        />
      )}
      {preflights.isPending && (
        <div role="status" aria-label="Loading the preflights" className="grid gap-3">
          <div className="skeleton h-24 rounded-xl" />
          <div className="skeleton h-24 rounded-xl" />
        </div>
      )}
      {preflights.data && (
        <>
          <AskForm topologies={preflights.data.topologies} />
          {preflights.data.preflights.length === 0 ? <None /> : <List preflights={preflights.data.preflights} />}
        </>
      )}
    </div>
  )
}

function None() {
  return (
    <Empty title="No preflights yet">
      <p>
        A preflight compiles exactly the step that a run would train with, for an accelerator that is not here, and
        tells how much memory it takes before any quota is spent.
      </p>
      <Link to="/runs/new" className={buttonClass()}>
        Ask with other settings
      </Link>
      <p>Or from a shell:</p>
      <div className="w-full max-w-md text-left">
        <Command text="assay preflight submission_tpu --topology v5e-8" />
      </div>
    </Empty>
  )
}

function List({ preflights }: { readonly preflights: readonly PreflightSummary[] }) {
  const navigate = useNavigate()
  const [row, setRow] = useState(-1)
  useShortcuts({
    j: () => setRow((now) => Math.min(now + 1, preflights.length - 1)),
    k: () => setRow((now) => Math.max(now - 1, 0)),
    Enter: () => {
      const chosen = preflights[row]
      if (chosen) void navigate({ to: '/preflights/$preflightId', params: { preflightId: chosen.id } })
    },
  })
  return (
    <ul aria-label="Preflights" className="overflow-hidden rounded-xl border border-line bg-panel">
      {preflights.map((preflight, index) => (
        <li
          key={preflight.id}
          className={classes(
            'relative grid items-center gap-x-6 gap-y-2 border-b border-line px-4 py-3 last:border-0 hover:bg-hover sm:grid-cols-[9rem_1fr] lg:grid-cols-[9rem_1.4fr_1fr_6rem]',
            index === row && 'bg-accent-soft',
          )}
        >
          <OutcomeBadge preflight={preflight} />
          <div className="min-w-0">
            <Link
              to="/preflights/$preflightId"
              params={{ preflightId: preflight.id }}
              className="font-medium wrap-anywhere after:absolute after:inset-0"
            >
              {preflight.name} on {preflight.topology}
            </Link>
            <p className="text-xs wrap-anywhere text-ink-2 first-letter:uppercase">{line(preflight)}</p>
          </div>
          <Held preflight={preflight} />
          <span className="text-xs text-ink-3 lg:text-right">
            <Ago time={preflight.created_at} />
          </span>
        </li>
      ))}
    </ul>
  )
}

/** "1 of 4: compiling …"; before the job knows how many there are, only what it does. */
function far({ done, total, doing }: NonNullable<PreflightSummary['progress']>): string {
  return total > 0 ? `${done} of ${total}: ${doing}` : doing
}

/** The one thing worth a line: what goes on, or why it failed, or what was asked. */
function line(preflight: PreflightSummary): string {
  if (preflight.state === 'running' && preflight.progress) return far(preflight.progress)
  return preflight.reason || asked(preflight)
}

function Held({ preflight }: { readonly preflight: PreflightSummary }) {
  const { peak_bytes: peak, limit_bytes: limit, fits } = preflight
  if (peak === null || limit === null) return <span className="max-lg:hidden" />
  const said = `${bytes(peak)} of ${bytes(limit)}`
  const fill = fits ? 'bg-accent' : 'bg-bad'
  return (
    <div className="grid min-w-0 gap-1 sm:col-start-2 lg:col-start-auto">
      <MemoryBar thin parts={[{ name: 'peak', bytes: peak, fill }]} limit={limit} label={said} />
      <span aria-hidden className="text-xs text-ink-2">
        {said}
      </span>
    </div>
  )
}

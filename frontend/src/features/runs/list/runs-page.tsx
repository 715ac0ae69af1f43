import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { Plus, Trash2 } from 'lucide-react'
import { useEffect, useMemo, useState } from 'react'
import { runStream } from '../../../api/run-stream.ts'
import type { RunSummary } from '../../../api/types.ts'
import { buttonClass } from '../../../ui/button.tsx'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { PageHead, useTitle } from '../../../ui/page.tsx'
import { useShortcuts } from '../../../ui/shortcuts.ts'
import { useWide } from '../../../ui/wide.ts'
import { dropRun, keepSummary, runsQuery } from '../queries.ts'
import { isLive } from '../state.tsx'
import { filtered, inView } from './filter.ts'
import { FilterBar } from './filter-bar.tsx'
import { FirstRun } from './first-run.tsx'
import { RunCards } from './run-cards.tsx'
import { RunsTable } from './runs-table.tsx'

const route = getRouteApi('/runs')

export function RunsPage() {
  useTitle('Runs')
  const queries = useQueryClient()
  const runs = useQuery(runsQuery)
  useEffect(
    () =>
      runStream.watch({
        summary: (summary) => keepSummary(queries, summary),
        gone: (run) => dropRun(queries, run),
        restart: () => void queries.invalidateQueries({ queryKey: runsQuery.queryKey }),
      }),
    [queries],
  )
  return (
    <div className="grid gap-5">
      <PageHead
        title="Runs"
        lead={runs.data ? lead(runs.data.runs) : 'Launch, watch and prove training runs.'}
        actions={
          <>
            <Link to="/trash" className={buttonClass('quiet')}>
              <Trash2 aria-hidden size={15} /> Trash
            </Link>
            <Link to="/runs/new" className={buttonClass('primary')}>
              <Plus aria-hidden size={16} /> New run
            </Link>
          </>
        }
      />
      {runs.error && (
        <Failure title="The runs cannot be loaded." reason={runs.error.message} retry={() => void runs.refetch()} />
      )}
      {runs.isPending && <Skeleton />}
      {runs.data && (runs.data.runs.length === 0 ? <FirstRun /> : <RunList runs={runs.data.runs} />)}
    </div>
  )
}

function lead(runs: readonly RunSummary[]): string {
  if (runs.length === 0) return 'Launch, watch and prove training runs.'
  const live = runs.filter((run) => isLive(run.state)).length
  const archived = runs.filter((run) => run.archived).length
  const parts = [live > 0 ? `${live} of them live` : '', archived > 0 ? `${archived} archived` : '']
  return [`${runs.length} ${runs.length === 1 ? 'run' : 'runs'}`, ...parts.filter(Boolean)].join(', ')
}

function RunList({ runs: all }: { readonly runs: readonly RunSummary[] }) {
  const search = route.useSearch()
  const navigate = useNavigate()
  const wide = useWide()
  const runs = useMemo(() => inView(all, search), [all, search])
  const shown = useMemo(() => filtered(runs, search), [runs, search])
  const [row, setRow] = useState(-1)
  useShortcuts({
    j: () => setRow((now) => Math.min(now + 1, shown.length - 1)),
    k: () => setRow((now) => Math.max(now - 1, 0)),
    Enter: () => {
      const chosen = shown[row]
      if (chosen) void navigate({ to: '/runs/$runId', params: { runId: chosen.id } })
    },
  })
  return (
    <>
      <FilterBar runs={runs} archived={all.filter((run) => run.archived).length} shown={shown.length} search={search} />
      {shown.length === 0 ? (
        <Empty
          title={
            runs.length > 0
              ? `0 of ${runs.length} runs match.`
              : search.archived
                ? 'The archive is empty'
                : 'All runs are archived'
          }
        >
          {runs.length > 0 || search.archived ? (
            <Link to="/runs" search={{}} className={buttonClass()}>
              {runs.length > 0 ? 'Clear the filter' : 'All runs'}
            </Link>
          ) : (
            <Link to="/runs" search={{ archived: true }} className={buttonClass()}>
              Open the archive
            </Link>
          )}
        </Empty>
      ) : wide ? (
        <RunsTable runs={shown} row={row} />
      ) : (
        <RunCards runs={shown} />
      )}
    </>
  )
}

function Skeleton() {
  return (
    <div aria-hidden className="grid gap-px overflow-hidden rounded-xl border border-line">
      {['a', 'b', 'c', 'd'].map((key) => (
        <div key={key} className="flex h-16 items-center gap-6 bg-panel px-4">
          <div className="skeleton h-4 w-20" />
          <div className="skeleton h-4 w-40" />
          <div className="skeleton h-2 grow" />
          <div className="skeleton h-4 w-16" />
        </div>
      ))}
    </div>
  )
}

import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Braces, Play } from 'lucide-react'
import { isGoingOn } from '../../api/preflights.ts'
import type { Preflight, PreflightReport } from '../../api/types.ts'
import { buttonClass } from '../../ui/button.tsx'
import { Failure } from '../../ui/notice.tsx'
import { useTitle } from '../../ui/page.tsx'
import { Advice, Collectives, Compiled, CompilerMessage, Largest } from './findings.tsx'
import { AskAgain, GoingOn, WithoutAnswer } from './going-on.tsx'
import { MemoryPanel } from './memory.tsx'
import { Plans } from './plans.tsx'
import { preflightQuery } from './queries.ts'
import { StepTime } from './step-time.tsx'
import { Verdict } from './verdict.tsx'

const route = getRouteApi('/preflights/$preflightId')

export function PreflightPage() {
  const { preflightId } = route.useParams()
  const preflight = useQuery(preflightQuery(preflightId))
  const found = preflight.data
  useTitle(found ? `${titleOf(found)} · preflight` : 'Preflight')
  return (
    <article className="mx-auto grid max-w-5xl min-w-0 grid-cols-1 gap-5">
      <div className="flex flex-wrap items-start justify-between gap-3">
        <div className="min-w-0">
          <p className="text-xs text-ink-3">
            <Link to="/preflights" className="hover:text-ink">
              Preflights
            </Link>
          </p>
          <h1 className="mt-1 text-2xl font-semibold tracking-tight wrap-anywhere">
            {found ? titleOf(found) : preflightId}
          </h1>
        </div>
        {found?.report && (
          <div className="no-print flex flex-wrap gap-2">
            <a className={buttonClass()} href={`/preflights/${found.id}/report.json`}>
              <Braces aria-hidden size={15} /> Raw JSON
            </a>
            <AskAgain preflight={found} />
            <Link
              to="/runs/new"
              search={{ preflight: found.id }}
              className={buttonClass(found.fits ? 'primary' : 'plain')}
            >
              <Play aria-hidden size={15} /> {found.fits ? 'Start run' : 'Change and start'}
            </Link>
          </div>
        )}
      </div>
      {preflight.error && !found && (
        <Failure
          title="This preflight cannot be shown."
          reason={preflight.error.message}
          retry={() => void preflight.refetch()}
        />
      )}
      {preflight.isPending && (
        <div role="status" aria-label="Loading the preflight" className="grid gap-5">
          <div className="skeleton h-40 rounded-xl" />
          <div className="skeleton h-64 rounded-xl" />
        </div>
      )}
      {found && isGoingOn(found) && <GoingOn preflight={found} now={preflight.dataUpdatedAt} />}
      {found && !found.report && !isGoingOn(found) && <WithoutAnswer preflight={found} />}
      {found?.report && <Told preflight={found} report={found.report} />}
    </article>
  )
}

function Told({ preflight, report }: { readonly preflight: Preflight; readonly report: PreflightReport }) {
  const chosen = report.plans[report.chosen]
  return (
    <>
      <Verdict preflight={preflight} />
      <Advice report={report} />
      {chosen && chosen.kind !== 'refused' && <MemoryPanel attempt={chosen} />}
      {chosen && chosen.kind !== 'fits' && <CompilerMessage attempt={chosen} />}
      {chosen?.kind === 'fits' && <StepTime report={report} attempt={chosen} />}
      <Plans report={report} />
      <div className="grid items-start gap-5 lg:flex lg:*:flex-1">
        <div className="grid gap-5 empty:hidden">
          <Largest report={report} />
          {chosen?.kind === 'fits' && <Collectives attempt={chosen} />}
        </div>
        <Compiled report={report} />
      </div>
    </>
  )
}

function titleOf(preflight: Preflight): string {
  return `${preflight.name} on ${preflight.topology}`
}

import { Link } from '@tanstack/react-router'
import type { RunSummary } from '../../../api/types.ts'
import { count, loss, percent, short } from '../../../ui/format.ts'
import { Progress } from '../../../ui/progress.tsx'
import { Ago } from '../../../ui/time.tsx'
import { Spark } from '../spark.tsx'
import { Alerts, progressTone, StateBadge } from '../state.tsx'
import { remaining } from './runs-table.tsx'

/** The runs for a narrow screen: a card each. */
export function RunCards({ runs }: { readonly runs: readonly RunSummary[] }) {
  return (
    <ul className="grid gap-3 sm:grid-cols-2">
      {runs.map((run) => (
        <li key={run.id} className="relative grid min-w-0 gap-3 rounded-xl border border-line bg-panel p-4">
          <div className="flex items-center justify-between gap-3">
            <span className="flex items-center gap-1.5">
              <StateBadge run={run} />
              <Alerts run={run} />
            </span>
            <span className="text-xs text-ink-3">
              <Ago time={run.started_at ?? run.created_at} />
            </span>
          </div>
          <div className="flex items-end justify-between gap-3">
            <Link
              to="/runs/$runId"
              params={{ runId: run.id }}
              className="min-w-0 font-semibold wrap-anywhere after:absolute after:inset-0 after:rounded-xl"
            >
              {run.name}
            </Link>
            <Spark values={run.spark} />
          </div>
          {run.reason && (
            <p
              className={run.state === 'failed' ? 'text-xs wrap-anywhere text-bad' : 'text-xs wrap-anywhere text-ink-2'}
            >
              {run.reason}
            </p>
          )}
          <div className="grid gap-1.5">
            <Progress
              thin
              label={`Progress of ${run.name}`}
              done={run.step}
              total={run.steps}
              tone={progressTone(run.state)}
            />
            <p className="flex justify-between text-xs text-ink-2">
              <span>
                step {count(run.step)} of {count(run.steps)}
              </span>
              <span>{remaining(run)}</span>
            </p>
          </div>
          <dl className="grid grid-cols-4 gap-2 text-xs">
            {[
              ['Loss', loss(run.loss)],
              ['Match', percent(run.exact_match)],
              ['Tokens/s', short(run.tokens_per_second)],
              ['On', run.hardware ?? run.device],
            ].map(([term, value]) => (
              <div key={term} className="min-w-0">
                <dt className="text-ink-3">{term}</dt>
                <dd className="truncate text-sm font-medium">{value}</dd>
              </div>
            ))}
          </dl>
        </li>
      ))}
    </ul>
  )
}

import { Link } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import { Stamp } from 'lucide-react'
import { memo, useEffect, useRef } from 'react'
import type { RunSummary } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { count, duration, loss, percent, short } from '../../../ui/format.ts'
import { Progress } from '../../../ui/progress.tsx'
import { Ago } from '../../../ui/time.tsx'
import { QueueMoves, useMove } from '../queue-moves.tsx'
import { Spark } from '../spark.tsx'
import { Alerts, configName, isLive, progressTone, StateBadge } from '../state.tsx'

const ROW_HEIGHT = 68

interface RunsTableProps {
  readonly runs: readonly RunSummary[]
  /** The row the keyboard stands on, -1 for none. */
  readonly row: number
}

const HEAD = 'px-3 py-2 text-left text-xs font-medium text-ink-3 whitespace-nowrap first:pl-4 last:pr-4'
const CELL = 'px-3 whitespace-nowrap first:pl-4 last:pr-4'
const NUMBER = `${CELL} text-right`

export function RunsTable({ runs, row }: RunsTableProps) {
  const scroller = useRef<HTMLElement>(null)
  const virtual = useVirtualizer({
    count: runs.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 8,
  })
  const items = virtual.getVirtualItems()
  const before = items[0]?.start ?? 0
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0)
  useEffect(() => {
    if (row >= 0) virtual.scrollToIndex(row)
  }, [row, virtual])
  return (
    <section
      ref={scroller}
      aria-label="Runs"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
      tabIndex={0}
      className="max-h-[calc(100dvh-15rem)] min-h-60 overflow-auto rounded-xl border border-line bg-panel"
    >
      <table className="w-full border-separate border-spacing-0 text-sm" aria-rowcount={runs.length + 1}>
        <thead className="sticky top-0 z-10 bg-panel shadow-[0_1px_0_var(--line)]">
          <tr>
            <th className={HEAD}>State</th>
            <th className={HEAD}>Run</th>
            <th className={HEAD}>Progress</th>
            <th className={HEAD}>Loss</th>
            <th className={`${HEAD} text-right!`}>Latest</th>
            <th className={`${HEAD} text-right!`}>Exact match</th>
            <th className={`${HEAD} text-right!`}>Tokens/s</th>
            <th className={HEAD}>Hardware</th>
            <th className={`${HEAD} text-right!`}>Started</th>
          </tr>
        </thead>
        <tbody>
          {before > 0 && <tr aria-hidden style={{ height: before }} />}
          {items.map((item) => {
            const run = runs[item.index]
            return run && <RunRow key={run.id} run={run} index={item.index} current={item.index === row} />
          })}
          {after > 0 && <tr aria-hidden style={{ height: after }} />}
        </tbody>
      </table>
    </section>
  )
}

interface RunRowProps {
  readonly run: RunSummary
  readonly index: number
  readonly current: boolean
}

const RunRow = memo(function RunRow({ run, index, current }: RunRowProps) {
  const move = useMove(run)
  return (
    <tr
      aria-rowindex={index + 2}
      data-current={current}
      style={{ height: ROW_HEIGHT }}
      className="group relative [&>td]:border-b [&>td]:border-line last:[&>td]:border-0 hover:bg-hover data-[current=true]:bg-accent-soft"
    >
      <td className={CELL}>
        <span className="flex items-center gap-1.5">
          <StateBadge run={run} />
          <Alerts run={run} />
        </span>
      </td>
      <td className={classes(CELL, 'w-full max-w-0 min-w-44')}>
        <Link
          to="/runs/$runId"
          params={{ runId: run.id }}
          className="block truncate font-medium group-hover:text-accent after:absolute after:inset-0"
        >
          {run.name}
        </Link>
        <p
          className={classes('truncate text-xs', run.state === 'failed' ? 'text-bad' : 'text-ink-3')}
          title={run.reason}
        >
          {run.bundles.length > 0 && <Stamp aria-label="sealed" size={12} className="mr-1 inline text-good" />}
          {run.reason || described(run)}
        </p>
      </td>
      <td className={CELL}>
        <div className="grid w-36 gap-1.5">
          <span className="flex justify-between text-xs text-ink-2">
            <span>
              {count(run.step)} / {count(run.steps)}
            </span>
            <span className="text-ink-3">{remaining(run)}</span>
          </span>
          <Progress
            thin
            label={`Progress of ${run.name}`}
            done={run.step}
            total={run.steps}
            tone={progressTone(run.state)}
          />
        </div>
      </td>
      <td className={CELL}>
        {run.state === 'queued' ? (
          <div className="relative z-1 -ml-2">
            <QueueMoves signs run={run} move={move} />
          </div>
        ) : (
          <Spark values={run.spark} />
        )}
      </td>
      <td className={`${NUMBER} font-medium`}>{loss(run.loss)}</td>
      <td className={NUMBER}>{percent(run.exact_match)}</td>
      <td className={NUMBER}>{short(run.tokens_per_second)}</td>
      <td className={CELL}>{run.hardware ?? <span className="text-ink-3">{run.device}</span>}</td>
      <td className={NUMBER}>
        <Ago time={run.started_at ?? run.created_at} />
      </td>
    </tr>
  )
})

function described(run: RunSummary): string {
  return [
    configName(run.config),
    run.parameters ? `${short(run.parameters)} parameters` : '',
    ...run.tags.map((tag) => `#${tag}`),
  ]
    .filter(Boolean)
    .join(' · ')
}

/** "ETA 48 s" while it trains, the share done when it has ended early. */
export function remaining(run: RunSummary): string {
  if (isLive(run.state)) return run.eta_seconds === null ? '' : `ETA ${duration(run.eta_seconds)}`
  return run.steps > 0 ? percent(Math.floor((run.step / run.steps) * 100) / 100) : ''
}

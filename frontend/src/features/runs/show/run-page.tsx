import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { lazy, Suspense } from 'react'
import type { Run } from '../../../api/types.ts'
import { Failure, Notice } from '../../../ui/notice.tsx'
import { useTitle } from '../../../ui/page.tsx'
import { Tabs } from '../../../ui/tabs.tsx'
import { Ago } from '../../../ui/time.tsx'
import { checkpointsQuery, evaluationsQuery } from '../queries.ts'
import { RUN_TABS, type RunSearch, type RunTab } from '../search.ts'
import { isLive } from '../state.tsx'
import { CheckpointsTab } from './checkpoints-tab.tsx'
import { ConfigTab } from './config-tab.tsx'
import { FailureReason } from './failure-reason.tsx'
import { LogTab } from './log-tab.tsx'
import { QueuePlace } from './queue-place.tsx'
import type { RunFeed } from './run-feed.ts'
import { RunHead } from './run-head.tsx'
import { SamplesTab } from './samples-tab.tsx'
import { SystemTab } from './system-tab.tsx'
import { useRun } from './use-run.ts'

const CurvesTab = lazy(() => import('./curves-tab.tsx').then((module) => ({ default: module.CurvesTab })))

const route = getRouteApi('/runs/$runId')

const LABEL: Record<RunTab, string> = {
  curves: 'Curves',
  checkpoints: 'Checkpoints',
  samples: 'Samples',
  log: 'Log',
  config: 'Config',
  system: 'System',
}

export function RunPage() {
  const { runId } = route.useParams()
  const { run, feed } = useRun(runId)
  useTitle(run.data ? `${run.data.name} · ${run.data.state}` : 'Run')
  if (run.data)
    return (
      <div className="grid min-w-0 grid-cols-1 gap-5">
        {run.error && <Failure title="What is shown here may be out of date." reason={run.error.message} />}
        <RunView run={run.data} feed={feed} />
      </div>
    )
  if (run.error)
    return (
      <>
        <h1 className="sr-only">Run {runId}</h1>
        <Failure title="This run cannot be shown." reason={run.error.message} retry={() => void run.refetch()} />
        <p className="mt-4 text-sm">
          <Link to="/runs" className="prose-link">
            All runs
          </Link>
        </p>
      </>
    )
  return <Skeleton />
}

function RunView({ run, feed }: { readonly run: Run; readonly feed: RunFeed | undefined }) {
  const search = route.useSearch()
  const navigate = useNavigate()
  const checkpoints = useQuery(checkpointsQuery(run.id))
  const evaluations = useQuery(evaluationsQuery(run.id))
  const change = (next: RunSearch, push = false) =>
    void navigate({
      to: '/runs/$runId',
      params: { runId: run.id },
      search: { ...search, ...next },
      replace: !push,
      resetScroll: false,
    })
  const tab = search.tab ?? 'curves'
  const counts: Partial<Record<RunTab, number>> = {
    checkpoints: checkpoints.data?.checkpoints.length,
    samples: evaluations.data?.evaluations.length,
  }
  return (
    <div className="grid min-w-0 grid-cols-1 gap-5">
      <RunHead run={run} />
      {run.state === 'failed' && <FailureReason run={run} />}
      {run.state === 'queued' && <QueuePlace run={run} />}
      {run.state !== 'failed' && run.state !== 'queued' && run.reason && <Notice tone="neutral" title={run.reason} />}
      {run.alerts.map((alert) => (
        <Notice key={alert.code} tone="warn" title={alert.message}>
          Noticed <Ago time={alert.since} />
          {!isLive(run.state) && ', and still so when the run ended'}.
        </Notice>
      ))}
      {run.warnings.map((warning) => (
        <Notice key={`${warning.code} ${warning.time}`} tone="warn" title={warning.message} />
      ))}
      <Tabs
        label="Parts of the run"
        tabs={RUN_TABS.map((name) => ({ name, label: LABEL[name], count: counts[name] }))}
        value={tab}
        onChange={(next) => change({ tab: next === 'curves' ? undefined : next }, true)}
      >
        {tab === 'curves' && (
          <Suspense fallback={<div className="skeleton h-96 rounded-xl" />}>
            <CurvesTab
              run={run}
              feed={feed}
              evaluations={evaluations.data?.evaluations ?? []}
              search={search}
              onChange={change}
            />
          </Suspense>
        )}
        {tab === 'checkpoints' && <CheckpointsTab run={run} />}
        {tab === 'samples' && <SamplesTab run={run} evaluations={evaluations.data?.evaluations ?? []} />}
        {tab === 'log' && <LogTab run={run} feed={feed} />}
        {tab === 'config' && <ConfigTab run={run} />}
        {tab === 'system' && <SystemTab run={run} />}
      </Tabs>
    </div>
  )
}

function Skeleton() {
  return (
    <div role="status" aria-label="Loading the run" className="grid gap-5">
      <div className="skeleton h-8 w-64" />
      <div className="skeleton h-24 rounded-xl" />
      <div className="skeleton h-96 rounded-xl" />
    </div>
  )
}

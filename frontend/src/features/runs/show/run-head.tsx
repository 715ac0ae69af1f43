import { Link } from '@tanstack/react-router'
import { Archive, Copy, OctagonX, Stamp, StopCircle } from 'lucide-react'
import { useState } from 'react'
import type { Run } from '../../../api/types.ts'
import { Badge } from '../../../ui/badge.tsx'
import { Button, buttonClass } from '../../../ui/button.tsx'
import { Figure } from '../../../ui/facts.tsx'
import { count, duration, loss, MISSING, percent, rate, short } from '../../../ui/format.ts'
import { Progress } from '../../../ui/progress.tsx'
import { Ago } from '../../../ui/time.tsx'
import { configName, isLive, progressTone, StateBadge } from '../state.tsx'
import { LabelRow } from './label-row.tsx'
import { sourceOf } from './launch.ts'
import { Phases } from './phases.tsx'
import { RerunDialog } from './rerun-dialog.tsx'
import { ResumeButton } from './resume-button.tsx'
import { SealDialog } from './seal-dialog.tsx'
import { StopDialog } from './stop-dialog.tsx'

export function RunHead({ run }: { readonly run: Run }) {
  const [asking, setAsking] = useState<'stop' | 'kill' | 'rerun' | 'seal'>()
  const live = isLive(run.state)
  return (
    <header className="grid gap-4">
      <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="min-w-0">
          <p className="text-xs text-ink-3">
            <Link to="/runs" className="hover:text-ink">
              Runs
            </Link>{' '}
            / {configName(run.config)}
          </p>
          <div className="mt-1 flex flex-wrap items-center gap-x-3 gap-y-1">
            <h1 className="text-2xl font-semibold tracking-tight break-all">{run.name}</h1>
            <span aria-live="polite">
              <StateBadge run={run} />
            </span>
            {run.archived && (
              <Badge tone="neutral" icon={Archive}>
                Archived
              </Badge>
            )}
          </div>
          <LabelRow run={run} />
        </div>
        <div className="no-print flex flex-wrap gap-2">
          {live && (
            <Button look="danger" disabled={run.state === 'stopping'} onClick={() => setAsking('stop')}>
              <StopCircle aria-hidden size={15} /> {run.state === 'stopping' ? 'Stopping' : 'Stop'}
            </Button>
          )}
          {live && run.state !== 'queued' && (
            <Button look="danger" onClick={() => setAsking('kill')}>
              <OctagonX aria-hidden size={15} /> Kill
            </Button>
          )}
          {!live && run.state !== 'finished' && <ResumeButton run={run} />}
          <Button onClick={() => setAsking('rerun')}>
            <Copy aria-hidden size={15} /> Rerun
          </Button>
          {run.bundles.map((name) => (
            <Link key={name} to="/evidence/$name" params={{ name }} className={buttonClass()}>
              <Stamp aria-hidden size={15} /> Evidence
            </Link>
          ))}
          {!live && run.bundles.length === 0 && (
            <Button look={run.state === 'finished' ? 'primary' : 'plain'} onClick={() => setAsking('seal')}>
              <Stamp aria-hidden size={15} /> Seal as evidence
            </Button>
          )}
        </div>
      </div>
      <div className="grid gap-4 rounded-xl border border-line bg-panel p-4">
        <div className="grid gap-2">
          <div className="flex flex-wrap justify-between gap-x-4 text-sm">
            <span>
              Step <span className="font-semibold">{count(run.step)}</span> of {count(run.steps)}
            </span>
            <span className="text-ink-2">{timing(run)}</span>
          </div>
          <Progress label="Progress" done={run.step} total={run.steps} tone={progressTone(run.state)} />
          {live && run.step === 0 && <Phases run={run} />}
        </div>
        <dl className="grid grid-cols-3 gap-x-6 gap-y-3 sm:grid-cols-4 lg:grid-cols-7">
          <Figure term="Loss" value={loss(run.loss)} />
          <Figure term="Exact match" value={percent(run.exact_match)} />
          <Figure term="Learning rate" value={rate(run.learning_rate)} />
          <Figure term="Tokens/s" value={short(run.tokens_per_second)} />
          <Figure term="Parameters" value={short(run.parameters)} />
          <Figure term="Hardware" value={run.hardware ?? run.device} />
          <Figure term="Commit" value={<Commit run={run} />} />
        </dl>
      </div>
      {(asking === 'stop' || asking === 'kill') && (
        <StopDialog run={run} how={asking} onClose={() => setAsking(undefined)} />
      )}
      {asking === 'rerun' && <RerunDialog run={run} onClose={() => setAsking(undefined)} />}
      {asking === 'seal' && <SealDialog run={run} onClose={() => setAsking(undefined)} />}
    </header>
  )
}

function timing(run: Run) {
  if (isLive(run.state)) {
    if (run.eta_seconds === null)
      return run.started_at ? (
        <>
          Started <Ago time={run.started_at} />
        </>
      ) : (
        'Waiting'
      )
    return `ETA ${duration(run.eta_seconds)}`
  }
  if (!run.started_at || !run.ended_at) return ''
  const took = (Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000
  return (
    <>
      Took {duration(took)}, ended <Ago time={run.ended_at} />
    </>
  )
}

function Commit({ run }: { readonly run: Run }) {
  const source = sourceOf(run)
  if (!source) return MISSING
  return (
    <span
      className="font-mono text-base"
      title={source.changed.length > 0 ? `${source.changed.length} files differ from the commit` : 'Clean working tree'}
    >
      {source.commit.slice(0, 7)}
      {source.changed.length > 0 && <span className="text-warn">+{source.changed.length}</span>}
    </span>
  )
}

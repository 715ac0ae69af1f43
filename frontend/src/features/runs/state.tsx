import {
  CircleCheck,
  CircleDashed,
  CircleDot,
  CircleStop,
  CircleX,
  Clock,
  Hourglass,
  type LucideIcon,
  TriangleAlert,
  Unplug,
} from 'lucide-react'
import type { RunSummary } from '../../api/types.ts'
import { Badge, type Tone } from '../../ui/badge.tsx'

export type State = RunSummary['state']

interface Look {
  readonly tone: Tone
  readonly icon: LucideIcon
  readonly word: string
}

export const STATES: Record<State, Look> = {
  running: { tone: 'accent', icon: CircleDot, word: 'Running' },
  starting: { tone: 'accent', icon: CircleDashed, word: 'Starting' },
  queued: { tone: 'neutral', icon: Clock, word: 'Queued' },
  stopping: { tone: 'warn', icon: Hourglass, word: 'Stopping' },
  finished: { tone: 'good', icon: CircleCheck, word: 'Finished' },
  failed: { tone: 'bad', icon: CircleX, word: 'Failed' },
  stopped: { tone: 'neutral', icon: CircleStop, word: 'Stopped' },
  lost: { tone: 'warn', icon: Unplug, word: 'Lost' },
}

export function isLive(state: State): boolean {
  return state === 'queued' || state === 'starting' || state === 'running' || state === 'stopping'
}

/** State as icon and word; a queued run says its place, a running one that is not training yet says its phase. */
export function StateBadge({ run }: { readonly run: RunSummary }) {
  const { tone, icon, word } = STATES[run.state]
  return (
    <Badge tone={tone} icon={icon} live={run.state === 'running' || run.state === 'starting'}>
      {word}
      {run.state === 'queued' && run.queue_position !== null && ` · ${ordinal(run.queue_position)}`}
      {run.state === 'running' && run.phase && run.phase !== 'training' && ` · ${run.phase}`}
    </Badge>
  )
}

/** What the watchers noticed of a run, as a sign with its sentences; nothing where all is well. */
export function Alerts({ run }: { readonly run: RunSummary }) {
  if (run.alerts.length === 0) return null
  const said = run.alerts.map((alert) => alert.message).join(' ')
  return (
    <span role="img" aria-label={`Warning: ${said}`} title={said} className="inline-flex text-warn">
      <TriangleAlert aria-hidden size={15} />
    </span>
  )
}

function ordinal(place: number): string {
  return place === 1 ? 'next' : `place ${place}`
}

export function progressTone(state: State): 'accent' | 'good' | 'bad' | 'neutral' {
  if (state === 'finished') return 'good'
  if (state === 'failed') return 'bad'
  return isLive(state) ? 'accent' : 'neutral'
}

/** training/configs/smoke_tiny.yaml as people call it: smoke_tiny. */
export function configName(path: string): string {
  return path.replace(/^.*\//, '').replace(/\.ya?ml$/, '')
}

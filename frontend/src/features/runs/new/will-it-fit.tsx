import { useMutation, useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { CircleCheck, CircleDashed, CircleX, Gauge, TriangleAlert } from 'lucide-react'
import { useId, useState } from 'react'
import { api } from '../../../api/client.ts'
import { isGoingOn } from '../../../api/preflights.ts'
import type { Preflight, PreflightRequest } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { classes } from '../../../ui/classes.ts'
import { Switch } from '../../../ui/switch.tsx'
import { preflightQuery, topologiesQuery } from '../queries.ts'

export type Asked = Pick<PreflightRequest, 'topology' | 'search'>

const FIRST_TOPOLOGY = 'v5e-8'

interface WillItFitProps {
  /** The question about what stands in the form. */
  readonly questionFor: (asked: Asked) => PreflightRequest
  /** Tells the form what the server refused, and that it refuses nothing any more. */
  readonly onRefused: (error: Error | undefined) => void
}

/** Asks the compiler about the form's values as they stand, and keeps the answer in sight. */
export function WillItFit({ questionFor, onRefused }: WillItFitProps) {
  const id = useId()
  const topologies = useQuery(topologiesQuery)
  const [topology, setTopology] = useState(FIRST_TOPOLOGY)
  const [search, setSearch] = useState(false)
  const question = questionFor({ topology, search })
  const ask = useMutation({
    mutationFn: api.createPreflight,
    onMutate: () => onRefused(undefined),
    onError: onRefused,
  })
  const asked = useQuery({ ...preflightQuery(ask.data?.id ?? ''), enabled: ask.data !== undefined })
  const preflight = ask.data && (asked.data ?? ask.data)
  const same = JSON.stringify(ask.variables) === JSON.stringify(question)
  return (
    <>
      <div className="order-last flex flex-wrap items-center gap-x-3 gap-y-2 sm:order-none sm:border-l sm:border-line sm:pl-3">
        <Button disabled={ask.isPending} onClick={() => ask.mutate(question)}>
          <Gauge aria-hidden size={15} /> {ask.isPending ? 'Asking' : 'Will it fit?'}
        </Button>
        <label htmlFor={`${id}-topology`} className="sr-only">
          Topology
        </label>
        <select
          id={`${id}-topology`}
          className="field w-auto! text-sm"
          value={topology}
          onChange={(event) => setTopology(event.target.value)}
        >
          {(topologies.data ?? [{ name: FIRST_TOPOLOGY }]).map((item) => (
            <option key={item.name}>{item.name}</option>
          ))}
        </select>
        <Switch label="Search plans" checked={search} onChange={setSearch} />
      </div>
      <div role="status" className="order-first w-full empty:hidden">
        {preflight && <Outcome preflight={preflight} stale={!same} />}
      </div>
    </>
  )
}

function Outcome({ preflight, stale }: { readonly preflight: Preflight; readonly stale: boolean }) {
  const { icon: Icon, ink, words } = said(preflight)
  return (
    <p className="flex items-start gap-2 text-sm">
      <Icon
        aria-hidden
        size={16}
        className={classes('mt-0.5 shrink-0', ink, preflight.state === 'running' && 'pulse')}
      />
      <span className="min-w-0 wrap-anywhere">
        {words} {stale && <span className="text-warn">The settings have changed since. </span>}
        <Link to="/preflights/$preflightId" params={{ preflightId: preflight.id }} className="prose-link">
          {preflight.report ? 'Report' : 'Details'}
        </Link>
      </span>
    </p>
  )
}

function said(preflight: Preflight): { icon: typeof Gauge; ink: string; words: string } {
  const { state, progress, topology } = preflight
  if (state === 'done' && preflight.fits) return { icon: CircleCheck, ink: 'text-good', words: preflight.verdict ?? '' }
  if (state === 'done') return { icon: CircleX, ink: 'text-bad', words: preflight.verdict ?? '' }
  if (!isGoingOn(preflight)) return { icon: TriangleAlert, ink: 'text-warn', words: preflight.reason }
  const how = state === 'queued' ? 'waiting its turn' : (progress?.doing ?? 'starting')
  const far = progress && progress.total > 0 ? ` (${progress.done} of ${progress.total})` : ''
  return { icon: CircleDashed, ink: 'text-accent', words: `For ${topology}: ${how}${far}…` }
}

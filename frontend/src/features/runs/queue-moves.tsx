import { useMutation, useQueryClient } from '@tanstack/react-query'
import { ArrowDown, ArrowUp, ArrowUpToLine } from 'lucide-react'
import { api } from '../../api/client.ts'
import type { RunSummary } from '../../api/types.ts'
import { Button } from '../../ui/button.tsx'
import { keepRun } from './queries.ts'

/** Lets a run that waits do so at another place: how the page of a run and a row of the list move it. */
export function useMove(run: RunSummary) {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (position: number) => api.moveRun(run.id, position),
    onSuccess: (answer) => keepRun(queries, answer),
    onError: () => void queries.invalidateQueries({ queryKey: ['runs'], exact: true }),
  })
}

interface QueueMovesProps {
  readonly run: RunSummary
  readonly move: ReturnType<typeof useMove>
  /** Signs alone, for a row of the list. */
  readonly signs?: boolean
}

/** The buttons that move a queued run; nothing for one that does not wait. */
export function QueueMoves({ run, move, signs = false }: QueueMovesProps) {
  const place = run.queue_position
  if (run.state !== 'queued' || place === null) return null
  const words = (name: string) => (signs ? { 'aria-label': `${name}: ${run.name}`, title: name } : {})
  const first = place === 1 || move.isPending
  return (
    <fieldset className="no-print flex flex-wrap">
      <legend className="sr-only">Place of {run.name} in the queue</legend>
      {!signs && (
        <Button look="quiet" small disabled={first} onClick={() => move.mutate(1)}>
          <ArrowUpToLine aria-hidden size={13} /> To the front
        </Button>
      )}
      <Button look="quiet" small disabled={first} onClick={() => move.mutate(place - 1)} {...words('Earlier')}>
        <ArrowUp aria-hidden size={13} /> {!signs && 'Earlier'}
      </Button>
      <Button look="quiet" small disabled={move.isPending} onClick={() => move.mutate(place + 1)} {...words('Later')}>
        <ArrowDown aria-hidden size={13} /> {!signs && 'Later'}
      </Button>
    </fieldset>
  )
}

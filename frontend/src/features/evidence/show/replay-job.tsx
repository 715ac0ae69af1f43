import { useMutation, useQueryClient } from '@tanstack/react-query'
import { RotateCcw, X } from 'lucide-react'
import { useEffect, useState } from 'react'
import { api } from '../../../api/client.ts'
import type { Bundle, ReplayJob } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { Failure } from '../../../ui/notice.tsx'
import { Progress } from '../../../ui/progress.tsx'
import { bundleQuery, bundlesQuery, replaysQuery } from '../queries.ts'

interface AskReplayProps {
  readonly bundle: Bundle
  readonly again: boolean
  /** Why the server could not say what was replayed. */
  readonly refused: Error | null
}

/** Asks for a replay of a segment that the reader's own words choose, so that nobody could have prepared it. */
export function AskReplay({ bundle, again, refused }: AskReplayProps) {
  const [draw, setDraw] = useState('')
  const queries = useQueryClient()
  const ask = useMutation({
    mutationFn: () => api.createReplay(bundle.name, draw.trim() ? { draw: draw.trim() } : {}),
    onSuccess: () => queries.invalidateQueries({ queryKey: replaysQuery(bundle.name).queryKey }),
  })
  const why = ask.error ?? refused
  return (
    <form
      className="no-print grid gap-3"
      onSubmit={(event) => {
        event.preventDefault()
        ask.mutate()
      }}
    >
      <div className="flex flex-wrap items-end gap-3">
        <div className="w-full sm:w-80">
          <label htmlFor="replay-draw" className="mb-1 block text-xs text-ink-3">
            Words of your own, to draw the segment by (optional)
          </label>
          <input
            id="replay-draw"
            className="field text-sm"
            maxLength={200}
            autoComplete="off"
            value={draw}
            onChange={(event) => setDraw(event.target.value)}
          />
        </div>
        <Button type="submit" look={again ? 'plain' : 'primary'} disabled={ask.isPending}>
          <RotateCcw aria-hidden size={15} /> {again ? 'Replay another segment' : 'Replay a segment here'}
        </Button>
      </div>
      {why && <Failure title={ask.error ? 'It is not replayed.' : 'Replays cannot be listed.'} reason={why.message} />}
    </form>
  )
}

interface ReplayGoingOnProps {
  readonly job: ReplayJob
  readonly bundle: string
}

export function ReplayGoingOn({ job, bundle }: ReplayGoingOnProps) {
  const queries = useQueryClient()
  useEffect(() => {
    // What it found is in the verdict: both are asked for again when it is no longer going on.
    return () => {
      void queries.invalidateQueries({ queryKey: bundleQuery(bundle).queryKey })
      void queries.invalidateQueries({ queryKey: bundlesQuery.queryKey, exact: true })
    }
  }, [queries, bundle])
  const cancel = useMutation({
    mutationFn: () => api.cancelReplay(job.id),
    onSettled: () => queries.invalidateQueries({ queryKey: replaysQuery(bundle).queryKey }),
  })
  const { done, total, doing } = job.progress ?? { done: 0, total: 0, doing: '' }
  return (
    <div className="grid gap-2 rounded-lg bg-sunken px-4 py-3">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p role="status" className="text-sm first-letter:uppercase">
          {job.state === 'queued' ? waiting(job) : doing || 'Starting'}…
        </p>
        <Button small look="danger" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
          <X aria-hidden size={14} /> Cancel
        </Button>
      </div>
      <Progress label="Replay" done={done} total={total} />
      {cancel.error && <Failure title="It was not cancelled." reason={cancel.error.message} />}
    </div>
  )
}

function waiting({ queue_position: place }: ReplayJob): string {
  return place && place > 1 ? `Waiting for its turn, ${place - 1} before it` : 'Waiting for its turn'
}

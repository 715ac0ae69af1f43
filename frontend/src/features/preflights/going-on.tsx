import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { RotateCcw, X } from 'lucide-react'
import { api } from '../../api/client.ts'
import type { Preflight } from '../../api/types.ts'
import { Button } from '../../ui/button.tsx'
import { duration } from '../../ui/format.ts'
import { Failure, Notice } from '../../ui/notice.tsx'
import { Progress } from '../../ui/progress.tsx'
import { asked, OutcomeBadge } from './outcome.tsx'
import { preflightLogQuery, preflightQuery } from './queries.ts'

interface GoingOnProps {
  readonly preflight: Preflight
  /** When the server was asked last, in milliseconds: what "now" is while it is polled. */
  readonly now: number
}

/** A preflight that has no answer yet: what it does, for how long already, and how to take it back. */
export function GoingOn({ preflight, now }: GoingOnProps) {
  const { progress, started_at: started } = preflight
  const queued = preflight.state === 'queued'
  const elapsed = started ? Math.max(0, (now - Date.parse(started)) / 1000) : 0
  return (
    <section aria-label="Progress" className="grid gap-4 rounded-xl border border-line bg-panel p-5 sm:p-7">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <OutcomeBadge preflight={preflight} />
        <CancelButton preflight={preflight} />
      </div>
      <p role="status" className="font-serif text-xl leading-relaxed wrap-anywhere first-letter:uppercase">
        {queued ? 'Waiting for the compiler, which does one thing at a time' : (progress?.doing ?? 'Starting')}…
      </p>
      {!queued && (
        <div className="grid gap-2">
          <Progress label="Compilations" done={progress?.done ?? 0} total={progress?.total ?? 1} />
          <p className="flex justify-between gap-4 text-sm text-ink-2">
            <span>{progress && progress.total > 0 && `${progress.done} of ${progress.total} compiled`}</span>
            <span>{duration(Math.floor(elapsed))}</span>
          </p>
        </div>
      )}
      <p className="text-sm text-ink-2">
        Asked: {asked(preflight)}. A plan that does not fit is known in seconds; one that fits takes minutes. Leave this
        page if you like: it goes on.
      </p>
    </section>
  )
}

export function CancelButton({ preflight }: { readonly preflight: Pick<Preflight, 'id'> }) {
  const queries = useQueryClient()
  const cancel = useMutation({
    mutationFn: () => api.cancelPreflight(preflight.id),
    onSuccess: (answer) => queries.setQueryData(preflightQuery(answer.id).queryKey, answer),
    onError: () => void queries.invalidateQueries({ queryKey: preflightQuery(preflight.id).queryKey }),
  })
  return (
    <Button look="danger" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
      <X aria-hidden size={15} /> Cancel
    </Button>
  )
}

/** One that brought no answer: why, what its job printed last, and a way to ask once more. */
export function WithoutAnswer({ preflight }: { readonly preflight: Preflight }) {
  const log = useQuery({ ...preflightLogQuery(preflight.id), enabled: preflight.state === 'failed' })
  const tail = log.data?.text.trimEnd()
  const failed = preflight.state === 'failed'
  return (
    <div className="grid gap-4">
      <Notice
        tone={failed ? 'bad' : 'neutral'}
        title={failed ? 'Whether it fits cannot be said.' : 'This preflight was cancelled.'}
      >
        <p className="first-letter:uppercase">
          {failed ? preflight.reason : 'Nothing of it is kept but what was asked.'}
        </p>
        <div className="mt-3">
          <AskAgain preflight={preflight} />
        </div>
      </Notice>
      {tail && (
        <section aria-label="Log" className="overflow-hidden rounded-xl border border-line">
          <pre
            // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
            tabIndex={0}
            className="max-h-72 overflow-auto bg-sunken px-4 py-3 font-mono text-xs leading-5 -outline-offset-2"
          >
            {tail}
          </pre>
        </section>
      )}
    </div>
  )
}

/** The same once more, compiled anew. */
export function AskAgain({ preflight }: { readonly preflight: Preflight }) {
  const navigate = useNavigate()
  const { spec, topology, search, largest } = preflight
  const ask = useMutation({
    mutationFn: () => api.createPreflight({ spec, topology, search, largest, fresh: true }),
    onSuccess: (answer) => navigate({ to: '/preflights/$preflightId', params: { preflightId: answer.id } }),
  })
  return (
    <>
      <Button disabled={ask.isPending} onClick={() => ask.mutate()}>
        <RotateCcw aria-hidden size={15} /> Ask again
      </Button>
      {ask.error && (
        <div className="mt-3">
          <Failure title="It was not asked again." reason={ask.error.message} />
        </div>
      )}
    </>
  )
}

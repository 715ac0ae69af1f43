import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Trash2, Undo2 } from 'lucide-react'
import { useState } from 'react'
import { api } from '../../../api/client.ts'
import type { TrashedRun } from '../../../api/types.ts'
import { Badge } from '../../../ui/badge.tsx'
import { Button, buttonClass } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { bytes, count } from '../../../ui/format.ts'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { PageHead, useTitle } from '../../../ui/page.tsx'
import { Ago } from '../../../ui/time.tsx'
import { runsQuery, trashQuery } from '../queries.ts'
import { configName, STATES } from '../state.tsx'

/** Deleted runs: to be restored, or removed for good, one or all. */
export function TrashPage() {
  useTitle('Trash')
  const trash = useQuery(trashQuery)
  const [removing, setRemoving] = useState<TrashedRun | 'all'>()
  const found = trash.data?.runs ?? []
  return (
    <div className="grid gap-5">
      <p className="-mb-4 text-xs text-ink-3">
        <Link to="/runs" className="hover:text-ink">
          Runs
        </Link>{' '}
        / deleted
      </p>
      <PageHead
        title="Trash"
        lead={
          found.length > 0
            ? `${found.length} ${found.length === 1 ? 'run' : 'runs'}, ${bytes(trash.data?.bytes)} on disk`
            : 'Deleted runs can be restored from here until they are removed for good.'
        }
        actions={
          found.length > 0 && (
            <Button look="danger" onClick={() => setRemoving('all')}>
              <Trash2 aria-hidden size={15} /> Empty the trash
            </Button>
          )
        }
      />
      {trash.error && (
        <Failure title="The trash cannot be loaded." reason={trash.error.message} retry={() => void trash.refetch()} />
      )}
      {trash.isPending && <div className="skeleton h-40 rounded-xl" />}
      {trash.data && found.length === 0 && (
        <Empty title="The trash is empty">
          <Link to="/runs" className={buttonClass()}>
            All runs
          </Link>
        </Empty>
      )}
      {found.length > 0 && (
        <ul className="divide-y divide-line overflow-hidden rounded-xl border border-line bg-panel">
          {found.map((run) => (
            <Row key={run.id} run={run} onRemove={() => setRemoving(run)} />
          ))}
        </ul>
      )}
      {removing && <RemoveDialog what={removing} all={found} onClose={() => setRemoving(undefined)} />}
    </div>
  )
}

function Row({ run, onRemove }: { readonly run: TrashedRun; readonly onRemove: () => void }) {
  const queries = useQueryClient()
  const restore = useMutation({
    mutationFn: () => api.restoreRun(run.id),
    onSettled: () => refresh(queries),
  })
  return (
    <li className="grid gap-2 px-4 py-3">
      <div className="flex flex-wrap items-center justify-between gap-x-6 gap-y-2">
        <div className="min-w-0">
          <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <span className="font-medium wrap-anywhere">{run.name}</span>
            {run.state && (
              <Badge tone={STATES[run.state].tone} icon={STATES[run.state].icon}>
                {STATES[run.state].word}
              </Badge>
            )}
          </p>
          <p className="mt-0.5 text-xs wrap-anywhere text-ink-2">
            {[
              configName(run.config),
              run.step === null ? '' : `step ${count(run.step)} of ${count(run.steps)}`,
              bytes(run.bytes),
              ...run.tags.map((tag) => `#${tag}`),
            ]
              .filter(Boolean)
              .join(' · ')}
            {run.deleted_at && (
              <>
                {' '}
                · deleted <Ago time={run.deleted_at} />
              </>
            )}
          </p>
        </div>
        <div className="flex gap-2">
          <Button
            small
            disabled={restore.isPending}
            aria-label={`Restore ${run.name}`}
            onClick={() => restore.mutate()}
          >
            <Undo2 aria-hidden size={13} /> Restore
          </Button>
          <Button small look="danger" aria-label={`Remove ${run.name} for good`} onClick={onRemove}>
            <Trash2 aria-hidden size={13} /> Remove
          </Button>
        </div>
      </div>
      {restore.error && <Failure title="The run was not restored." reason={restore.error.message} />}
    </li>
  )
}

interface RemoveDialogProps {
  readonly what: TrashedRun | 'all'
  readonly all: readonly TrashedRun[]
  readonly onClose: () => void
}

function RemoveDialog({ what, all, onClose }: RemoveDialogProps) {
  const queries = useQueryClient()
  const remove = useMutation({
    mutationFn: () => (what === 'all' ? api.emptyTrash() : api.purgeRun(what.id)),
    onSuccess: onClose,
    onSettled: () => refresh(queries),
  })
  const many = what === 'all' ? `${all.length} ${all.length === 1 ? 'run' : 'runs'}` : what.name
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Remove ${many} for good?`}
      description="Checkpoints, curves and logs are gone then, and nothing brings them back. Sealed evidence stays."
    >
      {remove.error && (
        <div className="mt-4">
          <Failure title="Nothing was removed." reason={remove.error.message} />
        </div>
      )}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
          Remove for good
        </Button>
      </div>
    </Dialog>
  )
}

function refresh(queries: ReturnType<typeof useQueryClient>): void {
  void queries.invalidateQueries({ queryKey: trashQuery.queryKey })
  void queries.invalidateQueries({ queryKey: runsQuery.queryKey })
}

import { useMutation, useQueryClient } from '@tanstack/react-query'
import { Archive, ArchiveRestore, Pencil, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { api } from '../../../api/client.ts'
import type { Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { Failure } from '../../../ui/notice.tsx'
import { keepRun } from '../queries.ts'
import { isLive } from '../state.tsx'
import { DeleteDialog } from './delete-dialog.tsx'
import { EditDialog } from './edit-dialog.tsx'

/** What is said of the run, and what can be done with it beside training: edit, archive, delete. */
export function LabelRow({ run }: { readonly run: Run }) {
  const queries = useQueryClient()
  const [asking, setAsking] = useState<'edit' | 'delete'>()
  const archive = useMutation({
    mutationFn: () => api.labelRun(run.id, { archived: !run.archived }),
    onSuccess: (answer) => keepRun(queries, answer),
  })
  const close = () => setAsking(undefined)
  return (
    <>
      {(run.notes || run.tags.length > 0) && (
        <p className="mt-1 text-sm wrap-anywhere whitespace-pre-line text-ink-2">
          {run.notes} {run.tags.map((tag) => `#${tag}`).join(' ')}
        </p>
      )}
      <div className="no-print mt-1 -ml-2 flex flex-wrap">
        <Button look="quiet" small onClick={() => setAsking('edit')}>
          <Pencil aria-hidden size={13} /> Edit
        </Button>
        <Button look="quiet" small disabled={archive.isPending} onClick={() => archive.mutate()}>
          {run.archived ? <ArchiveRestore aria-hidden size={13} /> : <Archive aria-hidden size={13} />}
          {run.archived ? 'Take out of the archive' : 'Archive'}
        </Button>
        {!isLive(run.state) && (
          <Button look="quiet" small onClick={() => setAsking('delete')}>
            <Trash2 aria-hidden size={13} /> Delete
          </Button>
        )}
      </div>
      {archive.error && <Failure title="The archive was not changed." reason={archive.error.message} />}
      {asking === 'edit' && <EditDialog run={run} onClose={close} />}
      {asking === 'delete' && <DeleteDialog run={run} onClose={close} />}
    </>
  )
}

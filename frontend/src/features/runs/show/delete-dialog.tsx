import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { api } from '../../../api/client.ts'
import type { Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { Failure } from '../../../ui/notice.tsx'
import { runQuery, runsQuery, trashQuery } from '../queries.ts'

export function DeleteDialog({ run, onClose }: { readonly run: Run; readonly onClose: () => void }) {
  const queries = useQueryClient()
  const navigate = useNavigate()
  const remove = useMutation({
    mutationFn: () => api.deleteRun(run.id),
    onSuccess: async () => {
      await navigate({ to: '/runs' })
      queries.removeQueries({ queryKey: runQuery(run.id).queryKey })
      void queries.invalidateQueries({ queryKey: trashQuery.queryKey })
      await queries.invalidateQueries({ queryKey: runsQuery.queryKey })
    },
  })
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Delete ${run.name}?`}
      description={`The run moves to the trash, with its checkpoints and its log, and can be restored until the trash is emptied.${
        run.bundles.length > 0 ? ' Evidence that was sealed from it stays.' : ''
      }`}
    >
      {remove.error && (
        <div className="mt-4">
          <Failure title="The run was not deleted." reason={remove.error.message} />
        </div>
      )}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
          Move to the trash
        </Button>
      </div>
    </Dialog>
  )
}

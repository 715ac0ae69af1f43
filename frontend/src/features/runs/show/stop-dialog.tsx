import { useMutation, useQueryClient } from '@tanstack/react-query'
import { api } from '../../../api/client.ts'
import type { Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { Failure } from '../../../ui/notice.tsx'
import { runQuery } from '../queries.ts'

export function StopDialog({ run, onClose }: { readonly run: Run; readonly onClose: () => void }) {
  const queries = useQueryClient()
  const stop = useMutation({
    mutationFn: () => api.stopRun(run.id),
    onSuccess: (answer) => {
      queries.setQueryData(runQuery(run.id).queryKey, answer)
      onClose()
    },
  })
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Stop ${run.name}?`}
      description={
        run.state === 'queued'
          ? 'It leaves the queue. What it has done so far is kept.'
          : 'The trainer saves a checkpoint and ends. What it has done so far is kept and can be sealed, or resumed.'
      }
    >
      {stop.error && (
        <div className="mt-4">
          <Failure title="The run was not stopped." reason={stop.error.message} />
        </div>
      )}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Keep running</Button>
        <Button look="danger" disabled={stop.isPending} onClick={() => stop.mutate()}>
          Stop the run
        </Button>
      </div>
    </Dialog>
  )
}

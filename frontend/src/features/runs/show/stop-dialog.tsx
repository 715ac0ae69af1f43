import { useMutation, useQueryClient } from '@tanstack/react-query'
import { api } from '../../../api/client.ts'
import type { Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { Failure } from '../../../ui/notice.tsx'
import { keepRun } from '../queries.ts'

interface StopDialogProps {
  readonly run: Run
  /** `stop` lets the trainer save; `kill` does not wait for that. */
  readonly how: 'stop' | 'kill'
  readonly onClose: () => void
}

/** Asks once more before a run is ended, and says what each way of ending it keeps. */
export function StopDialog({ run, how, onClose }: StopDialogProps) {
  const queries = useQueryClient()
  const kill = how === 'kill'
  const end = useMutation({
    mutationFn: () => (kill ? api.killRun(run.id) : api.stopRun(run.id)),
    onSuccess: (answer) => {
      keepRun(queries, answer)
      onClose()
    },
  })
  return (
    <Dialog
      open
      onClose={onClose}
      title={`${kill ? 'Kill' : 'Stop'} ${run.name}?`}
      description={kill ? KILLED : run.state === 'queued' ? WAITS : STOPPED}
    >
      {end.error && (
        <div className="mt-4">
          <Failure title={`The run was not ${kill ? 'killed' : 'stopped'}.`} reason={end.error.message} />
        </div>
      )}
      <div className="mt-5 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Keep running</Button>
        <Button look="danger" disabled={end.isPending} onClick={() => end.mutate()}>
          {kill ? 'Kill the run' : 'Stop the run'}
        </Button>
      </div>
    </Dialog>
  )
}

const WAITS = 'It leaves the queue. What it has done so far is kept.'
const STOPPED =
  'The trainer saves a checkpoint and ends. What it has done so far is kept and can be sealed, or resumed.'
const KILLED =
  'It ends at once; no checkpoint is waited for. What it logged is kept and can be sealed, but it can go on only from the newest checkpoint that it has saved already.'

import { useMutation } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api } from '../../../api/client.ts'
import type { Run } from '../../../api/types.ts'
import { Button, buttonClass } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { Failure } from '../../../ui/notice.tsx'

export function RerunDialog({ run, onClose }: { readonly run: Run; readonly onClose: () => void }) {
  const navigate = useNavigate()
  const [name, setName] = useState(run.name)
  const rerun = useMutation({
    mutationFn: () => api.rerunRun(run.id, { name: name.trim() }),
    onSuccess: async (answer) => {
      onClose()
      await navigate({ to: '/runs/$runId', params: { runId: answer.id } })
    },
  })
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Rerun ${run.name}`}
      description="The same config with the same settings, from the first step, as a run of its own. This one is not touched."
    >
      <form
        className="mt-4 grid gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          rerun.mutate()
        }}
      >
        <label className="grid gap-1 text-sm font-medium">
          Name of the new run
          <input className="field font-mono" required value={name} onChange={(event) => setName(event.target.value)} />
        </label>
        {rerun.error && <Failure title="The run was refused." reason={rerun.error.message} />}
        <div className="flex flex-wrap justify-end gap-2">
          <Link to="/runs/new" search={{ from: run.id }} className={buttonClass()}>
            Change settings first
          </Link>
          <Button look="primary" type="submit" disabled={rerun.isPending}>
            Start it
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

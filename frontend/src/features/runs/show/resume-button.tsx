import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { StepForward } from 'lucide-react'
import { api } from '../../../api/client.ts'
import type { Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { count } from '../../../ui/format.ts'
import { Failure } from '../../../ui/notice.tsx'
import { checkpointsQuery, keepRun } from '../queries.ts'

/** Lets a run that ended early go on from its newest checkpoint. Why it cannot, the server says. */
export function ResumeButton({ run }: { readonly run: Run }) {
  const queries = useQueryClient()
  const saved = useQuery(checkpointsQuery(run.id)).data?.checkpoints.filter((item) => item.on_disk) ?? []
  const resume = useMutation({
    mutationFn: () => api.resumeRun(run.id),
    onSuccess: (answer) => keepRun(queries, answer),
  })
  return (
    <>
      <Button look="primary" disabled={resume.isPending} onClick={() => resume.mutate()}>
        <StepForward aria-hidden size={15} /> Resume
        {saved.length > 0 && ` after step ${count(Math.max(...saved.map((item) => item.step)))}`}
      </Button>
      <Dialog open={resume.isError} onClose={() => resume.reset()} title="This run does not go on">
        <div className="mt-4">
          <Failure title="It was not resumed." reason={resume.error?.message ?? ''} />
        </div>
        <div className="mt-5 flex justify-end">
          <Button onClick={() => resume.reset()}>Close it</Button>
        </div>
      </Dialog>
    </>
  )
}

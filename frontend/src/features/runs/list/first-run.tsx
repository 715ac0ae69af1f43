import { useMutation } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { Play } from 'lucide-react'
import { api } from '../../../api/client.ts'
import { Button, buttonClass } from '../../../ui/button.tsx'
import { Command } from '../../../ui/copy.tsx'
import { Empty, Failure } from '../../../ui/notice.tsx'

const DEMO = 'demo_reasoning'

/** What a newcomer sees on an empty data folder. */
export function FirstRun() {
  const navigate = useNavigate()
  const start = useMutation({
    mutationFn: () => api.createRun({ config: DEMO }),
    onSuccess: (run) => navigate({ to: '/runs/$runId', params: { runId: run.id } }),
  })
  return (
    <Empty title="No runs yet">
      <p>
        The demo trains a small model from scratch, here, in about two minutes: watch its loss fall, then seal what it
        did into evidence that anyone can verify.
      </p>
      <div className="flex flex-wrap justify-center gap-2">
        <Button look="primary" disabled={start.isPending} onClick={() => start.mutate()}>
          <Play aria-hidden size={15} /> Start the demo run
        </Button>
        <Link to="/runs/new" className={buttonClass()}>
          Choose another
        </Link>
      </div>
      {start.error && <Failure title="The demo run was refused." reason={start.error.message} />}
      <p>Or from a shell:</p>
      <div className="w-full max-w-md text-left">
        <Command text={`assay launch ${DEMO}`} />
      </div>
    </Empty>
  )
}

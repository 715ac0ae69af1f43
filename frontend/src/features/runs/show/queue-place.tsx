import type { Run } from '../../../api/types.ts'
import { Failure, Notice } from '../../../ui/notice.tsx'
import { QueueMoves, useMove } from '../queue-moves.tsx'

/** What a queued run waits for, and a way to let it wait at another place. */
export function QueuePlace({ run }: { readonly run: Run }) {
  const move = useMove(run)
  return (
    <>
      <Notice tone="neutral" title={run.reason || 'It is about to start.'}>
        <div className="mt-1 -ml-2">
          <QueueMoves run={run} move={move} />
        </div>
      </Notice>
      {move.error && <Failure title="The run was not moved." reason={move.error.message} />}
    </>
  )
}

import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Trash2 } from 'lucide-react'
import { useState } from 'react'
import { api } from '../../../api/client.ts'
import { Button } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { Failure } from '../../../ui/notice.tsx'
import { bundlesQuery } from '../queries.ts'

/** Takes an imported bundle off this server again; where it came from, it stays. */
export function DeleteButton({ name }: { readonly name: string }) {
  const [asking, setAsking] = useState(false)
  const queries = useQueryClient()
  const navigate = useNavigate()
  const remove = useMutation({
    mutationFn: () => api.deleteBundle(name),
    onSuccess: async () => {
      await navigate({ to: '/evidence' })
      await queries.invalidateQueries({ queryKey: bundlesQuery.queryKey })
    },
  })
  return (
    <>
      <Button look="danger" onClick={() => setAsking(true)}>
        <Trash2 aria-hidden size={15} /> Delete
      </Button>
      <Dialog
        open={asking}
        onClose={() => setAsking(false)}
        title={`Delete ${name}?`}
        description="This server forgets the imported bundle and all its files. The zip it came from is not touched."
      >
        {remove.error && (
          <div className="mt-4">
            <Failure title="It was not deleted." reason={remove.error.message} />
          </div>
        )}
        <div className="mt-5 flex justify-end gap-2">
          <Button onClick={() => setAsking(false)}>Keep it</Button>
          <Button look="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
            Delete it
          </Button>
        </div>
      </Dialog>
    </>
  )
}

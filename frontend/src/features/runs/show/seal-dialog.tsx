import { useMutation, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { CircleCheck } from 'lucide-react'
import { useState } from 'react'
import { api } from '../../../api/client.ts'
import { ApiError } from '../../../api/problems.ts'
import type { Run } from '../../../api/types.ts'
import { Button, buttonClass } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { Notice } from '../../../ui/notice.tsx'
import { runQuery } from '../queries.ts'

export function SealDialog({ run, onClose }: { readonly run: Run; readonly onClose: () => void }) {
  const queries = useQueryClient()
  const [name, setName] = useState(() => `${run.name}_v1`)
  const seal = useMutation({
    mutationFn: () => api.sealRun(run.id, name.trim()),
    onSettled: () => queries.invalidateQueries({ queryKey: runQuery(run.id).queryKey, exact: true }),
  })
  return (
    <Dialog
      open
      onClose={onClose}
      title={seal.data ? 'Sealed' : 'Seal as evidence'}
      description={
        seal.data
          ? undefined
          : 'Copies what this run left behind into a bundle whose every file is digested, then verifies it as a stranger would. Nothing is sealed that has a hole.'
      }
    >
      {seal.data ? (
        <div className="mt-4 grid gap-4">
          <p className="flex gap-2 text-sm">
            <CircleCheck aria-hidden size={18} className="mt-0.5 shrink-0 text-good" />
            <span>{seal.data.sentence}</span>
          </p>
          <Link to="/evidence/$name" params={{ name: seal.data.name }} className={buttonClass('primary')}>
            Open the evidence page
          </Link>
        </div>
      ) : (
        <form
          className="mt-4 grid gap-4"
          onSubmit={(event) => {
            event.preventDefault()
            seal.mutate()
          }}
        >
          <label className="grid gap-1 text-sm font-medium">
            Name of the bundle
            <input
              className="field font-mono"
              required
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          </label>
          {seal.error && <Refusal error={seal.error} />}
          <div className="flex justify-end gap-2">
            <Button onClick={onClose}>Not now</Button>
            <Button look="primary" type="submit" disabled={seal.isPending}>
              {seal.isPending ? 'Sealing and verifying' : 'Seal'}
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  )
}

function Refusal({ error }: { readonly error: Error }) {
  const problem = error instanceof ApiError ? error.problem : undefined
  const said = [
    ...(problem?.findings ?? []).map((finding) => ({ key: finding.check, text: finding.message })),
    ...(problem?.errors ?? []).map((item) => ({ key: item.field, text: item.message })),
  ].filter((item) => item.text !== error.message)
  return (
    <div role="alert">
      <Notice tone="bad" title={said.length > 0 ? 'The run was not sealed:' : error.message}>
        {said.length > 0 && (
          <ul className="grid max-h-60 gap-2 overflow-y-auto">
            {said.map((item) => (
              <li key={item.key + item.text} className="text-ink">
                <span className="font-mono text-xs text-ink-2">{item.key}</span> {item.text}
              </li>
            ))}
          </ul>
        )}
      </Notice>
    </div>
  )
}

import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../../../api/client.ts'
import type { Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { Dialog } from '../../../ui/dialog.tsx'
import { Failure } from '../../../ui/notice.tsx'
import { keepRun } from '../queries.ts'

/** Name, notes and tags; what the run was asked to do stays as it is. */
export function EditDialog({ run, onClose }: { readonly run: Run; readonly onClose: () => void }) {
  const queries = useQueryClient()
  const [name, setName] = useState(run.name)
  const [notes, setNotes] = useState(run.notes)
  const [tags, setTags] = useState(() => run.tags.join(', '))
  const edit = useMutation({
    mutationFn: () => api.labelRun(run.id, { name: name.trim(), notes, tags: tagsOf(tags) }),
    onSuccess: (answer) => {
      keepRun(queries, answer)
      onClose()
    },
  })
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Edit ${run.name}`}
      description="What the run is called. What it was asked to do, and the evidence made of it, stay as they are."
    >
      <form
        className="mt-4 grid gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          edit.mutate()
        }}
      >
        <label className="grid gap-1 text-sm font-medium">
          Name
          <input
            className="field font-mono"
            required
            maxLength={80}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <label className="grid gap-1 text-sm font-medium">
          Notes
          <textarea className="field" rows={4} value={notes} onChange={(event) => setNotes(event.target.value)} />
        </label>
        <label className="grid gap-1 text-sm font-medium">
          Tags, separated by commas
          <input className="field" value={tags} onChange={(event) => setTags(event.target.value)} />
        </label>
        {edit.error && <Failure title="Nothing was changed." reason={edit.error.message} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button look="primary" type="submit" disabled={edit.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function tagsOf(text: string): string[] {
  return text
    .split(',')
    .map((tag) => tag.trim())
    .filter(Boolean)
}

import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Upload } from 'lucide-react'
import { type DragEvent, useId, useState } from 'react'
import { api } from '../../../api/client.ts'
import { buttonClass } from '../../../ui/button.tsx'
import { classes } from '../../../ui/classes.ts'
import { bytes, percent } from '../../../ui/format.ts'
import { Failure } from '../../../ui/notice.tsx'
import { Progress } from '../../../ui/progress.tsx'
import { bundlesQuery } from '../queries.ts'

/** Takes in a bundle that was made elsewhere. It is verified here, and shown with its findings whatever they are. */
export function Import() {
  const field = useId()
  const [over, setOver] = useState(false)
  const [sent, setSent] = useState(0)
  const queries = useQueryClient()
  const navigate = useNavigate()
  const bring = useMutation({
    mutationFn: (file: File) => api.importBundle(file, setSent),
    onMutate: () => setSent(0),
    onSuccess: async (bundle) => {
      void queries.invalidateQueries({ queryKey: bundlesQuery.queryKey })
      await navigate({ to: '/evidence/$name', params: { name: bundle.name } })
    },
  })
  const take = (files: FileList | null) => {
    const file = files?.[0]
    if (file && !bring.isPending) bring.mutate(file)
  }
  const drop = (event: DragEvent) => {
    event.preventDefault()
    setOver(false)
    take(event.dataTransfer.files)
  }
  return (
    <section
      id="import"
      aria-label="Import a bundle"
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
      className={classes(
        'no-print grid gap-4 rounded-xl border border-dashed p-5',
        over ? 'border-accent bg-accent-soft' : 'border-line-strong',
      )}
    >
      <div className="flex flex-wrap items-center justify-between gap-x-6 gap-y-3">
        <div className="min-w-0 max-w-2xl text-sm">
          <h2 className="font-semibold">Import a bundle</h2>
          <p className="mt-0.5 text-ink-2">
            Drop a bundle’s .zip here, or choose one. It is verified from its own bytes; nothing in it is executed.
          </p>
        </div>
        <label
          htmlFor={field}
          className={classes(
            buttonClass(),
            'cursor-pointer has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent',
            bring.isPending && 'cursor-not-allowed opacity-55',
          )}
        >
          <Upload aria-hidden size={15} /> Choose a .zip
          <input
            id={field}
            type="file"
            accept=".zip,application/zip"
            className="sr-only"
            disabled={bring.isPending}
            onChange={(event) => {
              take(event.currentTarget.files)
              event.currentTarget.value = ''
            }}
          />
        </label>
      </div>
      {bring.isPending && (
        <div role="status" className="grid gap-1.5 text-sm text-ink-2">
          <Progress label="Sent" done={Math.round(sent * 100)} total={100} />
          <p className="wrap-anywhere">
            {sent < 1
              ? `Sending ${bring.variables.name}, ${percent(Math.round(sent * 100) / 100)} of ${bytes(bring.variables.size)}`
              : `Verifying ${bring.variables.name}…`}
          </p>
        </div>
      )}
      {bring.error && <Failure title={`${bring.variables.name} was not imported.`} reason={bring.error.message} />}
    </section>
  )
}

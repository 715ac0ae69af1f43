import { useEffect, useRef } from 'react'
import type { Problem } from '../../../api/types.ts'
import { fieldId } from './spec-field.tsx'

/** Everything the server refused, at the top, with the focus, each a way to its field. */
export function ErrorSummary({ problem, title }: { readonly problem: Problem; readonly title: string }) {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (problem) box.current?.focus()
  }, [problem])
  const errors = problem.errors
  return (
    <div ref={box} role="alert" tabIndex={-1} className="rounded-xl border border-bad/50 bg-bad-soft px-4 py-3 text-sm">
      <p className="font-semibold">
        {errors.length > 1 ? `${title}: ${errors.length} settings need a change.` : `${title}.`}
      </p>
      <ul className="mt-1 grid gap-1">
        {errors.length === 0 && <li>{problem.detail}</li>}
        {errors.map((error) => (
          <li key={error.field + error.message}>
            <button
              type="button"
              className="min-h-6 text-left wrap-anywhere text-bad underline underline-offset-2"
              onClick={() => goTo(error.field)}
            >
              {error.message}
            </button>
          </li>
        ))}
      </ul>
    </div>
  )
}

function goTo(key: string): void {
  const field = document.getElementById(fieldId(key))
  field?.closest('details')?.setAttribute('open', '')
  field?.scrollIntoView({ block: 'center' })
  ;(field?.matches('fieldset') ? field.querySelector('input') : field)?.focus()
}

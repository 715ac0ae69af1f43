import { Link } from '@tanstack/react-router'
import { CircleX } from 'lucide-react'
import type { Run } from '../../../api/types.ts'

/** Why it failed, before anything else, with the end of its log. */
export function FailureReason({ run }: { readonly run: Run }) {
  const tail = run.error?.log_tail.trimEnd()
  return (
    <section aria-label="Why it failed" className="overflow-hidden rounded-xl border border-bad/40">
      <div className="flex gap-3 bg-bad-soft px-4 py-3">
        <CircleX aria-hidden size={18} className="mt-0.5 shrink-0 text-bad" />
        <div className="min-w-0">
          <p className="font-semibold wrap-anywhere">{run.reason || 'The trainer failed and did not say why.'}</p>
          <p className="mt-1 text-sm text-ink-2">
            {run.error?.stage ? `While ${run.error.stage}, after step ${run.step}. ` : `After step ${run.step}. `}
            <Link to="/runs/$runId" params={{ runId: run.id }} search={{ tab: 'log' }} className="prose-link">
              Open the log
            </Link>
          </p>
        </div>
      </div>
      {tail && (
        <pre
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
          className="max-h-56 overflow-auto bg-sunken px-4 py-3 font-mono text-xs leading-5 -outline-offset-2"
        >
          {tail}
        </pre>
      )}
    </section>
  )
}

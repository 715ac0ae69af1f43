import { Link } from '@tanstack/react-router'
import { GitCompareArrows } from 'lucide-react'
import { Button, buttonClass } from '../../../ui/button.tsx'

interface CompareBarProps {
  readonly picked: readonly string[]
  readonly onClear: () => void
}

/** Stays in sight while bundles are being picked. */
export function CompareBar({ picked, onClear }: CompareBarProps) {
  const [a, b] = picked
  if (a === undefined) return null
  return (
    <section
      aria-label="Comparison"
      className="sticky bottom-3 z-20 flex flex-wrap items-center justify-between gap-3 rounded-xl border border-line-strong bg-panel px-4 py-3 text-sm shadow-raised"
    >
      <p role="status" className="min-w-0 wrap-anywhere">
        {b === undefined ? `${a}: pick another one to compare it with` : `${a} and ${b}`}
      </p>
      <span className="flex gap-2">
        <Button look="quiet" onClick={onClear}>
          Clear
        </Button>
        {b !== undefined && (
          <Link to="/evidence/compare" search={{ a, b }} className={buttonClass('primary')}>
            <GitCompareArrows aria-hidden size={15} /> Compare
          </Link>
        )}
      </span>
    </section>
  )
}

import { ChevronLeft, ChevronRight } from 'lucide-react'
import { Button } from '../../../../ui/button.tsx'
import { count } from '../../../../ui/format.ts'

interface PagerProps {
  /** What is paged, in the plural: "lines", "rows". */
  readonly things: string
  readonly page: number
  readonly size: number
  /** How many are known, and whether these are all. */
  readonly known: number
  readonly complete: boolean
  readonly onPage: (page: number) => void
}

export function Pager({ things, page, size, known, complete, onPage }: PagerProps) {
  const first = page * size + 1
  const last = Math.min(known, first + size - 1)
  if (complete && known <= size) return null
  return (
    <nav aria-label={`Pages of ${things}`} className="no-print flex flex-wrap items-center gap-2 text-xs text-ink-2">
      <Button small disabled={page === 0} onClick={() => onPage(page - 1)}>
        <ChevronLeft aria-hidden size={14} /> Previous
      </Button>
      <Button small disabled={complete && last >= known} onClick={() => onPage(page + 1)}>
        Next <ChevronRight aria-hidden size={14} />
      </Button>
      <span role="status">
        {things} {count(Math.min(first, known))} to {count(last)}
        {complete ? ` of ${count(known)}` : ' of more'}
      </span>
    </nav>
  )
}

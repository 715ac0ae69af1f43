import type { RunSummary } from '../../../api/types.ts'
import type { ListSearch } from '../search.ts'
import { isLive } from '../state.tsx'

/** The runs that match words and state, live ones on top, newest first among equals. */
export function filtered(runs: readonly RunSummary[], search: ListSearch): RunSummary[] {
  const words = (search.q ?? '').toLowerCase().split(/\s+/).filter(Boolean)
  return runs
    .filter((run) => !search.state || run.state === search.state)
    .filter((run) => words.every((word) => described(run).includes(word)))
    .sort((a, b) => Number(isLive(b.state)) - Number(isLive(a.state)) || b.created_at.localeCompare(a.created_at))
}

function described(run: RunSummary): string {
  return [run.name, run.id, run.config, run.notes, run.hardware ?? '', ...run.tags].join(' ').toLowerCase()
}

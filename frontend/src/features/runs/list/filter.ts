import type { RunSummary } from '../../../api/types.ts'
import type { ListSearch } from '../search.ts'
import { isLive } from '../state.tsx'

/** The runs of the archive, or those that are not in it. */
export function inView(runs: readonly RunSummary[], search: ListSearch): RunSummary[] {
  return runs.filter((run) => run.archived === !!search.archived)
}

/** The runs that match words and state, live ones on top, newest first among equals. */
export function filtered(runs: readonly RunSummary[], search: ListSearch): RunSummary[] {
  const words = (search.q ?? '').toLowerCase().split(/\s+/).filter(Boolean)
  return runs
    .filter((run) => !search.state || run.state === search.state)
    .filter((run) => words.every((word) => described(run).includes(word)))
    .sort((a, b) => rank(a) - rank(b) || b.created_at.localeCompare(a.created_at))
}

/** What moves stands above what waits, and both above what has ended. */
function rank(run: RunSummary): number {
  return run.state === 'queued' ? 1 : isLive(run.state) ? 0 : 2
}

function described(run: RunSummary): string {
  return [run.name, run.id, run.config, run.notes, run.hardware ?? '', ...run.tags].join(' ').toLowerCase()
}

/** What the run screens ask the server for, by key. */
import { type QueryClient, queryOptions } from '@tanstack/react-query'
import { api } from '../../api/client.ts'
import { askAgain } from '../../api/preflights.ts'
import type { Run, RunPage, RunSummary } from '../../api/types.ts'

export const runsQuery = queryOptions({ queryKey: ['runs'], queryFn: ({ signal }) => api.runs(signal) })

export const trashQuery = queryOptions({ queryKey: ['trash'], queryFn: ({ signal }) => api.trash(signal) })

export const configsQuery = queryOptions({ queryKey: ['configs'], queryFn: () => api.configs(), staleTime: 60_000 })

export const runQuery = (id: string) =>
  queryOptions({ queryKey: ['run', id], queryFn: ({ signal }) => api.run(id, signal) })

export const checkpointsQuery = (id: string) =>
  queryOptions({ queryKey: ['run', id, 'checkpoint'], queryFn: () => api.checkpoints(id) })

export const evaluationsQuery = (id: string) =>
  queryOptions({ queryKey: ['run', id, 'evaluation'], queryFn: () => api.evaluations(id) })

export const samplesQuery = (id: string) =>
  queryOptions({ queryKey: ['run', id, 'sample'], queryFn: () => api.samples(id) })

/** What the run's processes use; asked again while they do. */
export const systemQuery = (id: string, live: boolean) =>
  queryOptions({
    queryKey: ['run', id, 'system'],
    queryFn: ({ signal }) => api.system(id, signal),
    refetchInterval: live && 4_000,
  })

export const predictionsQuery = (id: string, step: number | undefined) =>
  queryOptions({ queryKey: ['run', id, 'predictions', step], queryFn: () => api.predictions(id, step) })

/** A preflight that the form asked for, or is filled from; asked again while it is going on. */
export const preflightQuery = (id: string) =>
  queryOptions({
    queryKey: ['preflight', id],
    queryFn: ({ signal }) => api.preflight(id, signal),
    refetchInterval: (query) => askAgain(query.state.data),
  })

/** The topologies that may be asked for come with the list of preflights. */
export const topologiesQuery = queryOptions({
  queryKey: ['preflights', 'topologies'],
  queryFn: () => api.preflights(),
  select: (answer) => answer.topologies,
  staleTime: Number.POSITIVE_INFINITY,
})

/** Puts a summary that the stream brought where the list and the run's page read it. */
export function keepSummary(queries: QueryClient, summary: RunSummary): void {
  queries.setQueryData<RunPage>(runsQuery.queryKey, (page) => page && withSummary(page, summary))
  queries.setQueryData<Run>(runQuery(summary.id).queryKey, (run) => run && { ...run, ...summary })
}

/** Takes a run that is gone out of the list; whoever shows it is told when it asks for it anew. */
export function dropRun(queries: QueryClient, id: string): void {
  queries.setQueryData<RunPage>(runsQuery.queryKey, (page) => {
    const runs = page?.runs.filter((run) => run.id !== id) ?? []
    return page && { ...page, runs, total: page.total - (page.runs.length - runs.length) }
  })
  void queries.invalidateQueries({ queryKey: trashQuery.queryKey })
  void queries.invalidateQueries({ queryKey: runQuery(id).queryKey, exact: true })
}

/** Puts a whole run that a call answered where the list and its page read it. */
export function keepRun(queries: QueryClient, run: Run): void {
  queries.setQueryData<Run>(runQuery(run.id).queryKey, run)
  void queries.invalidateQueries({ queryKey: runsQuery.queryKey, exact: true })
}

/** `page` with `summary` in its place, or on top when it is new. */
export function withSummary(page: RunPage, summary: RunSummary): RunPage {
  const known = page.runs.some((run) => run.id === summary.id)
  if (!known) return { ...page, total: page.total + 1, runs: [summary, ...page.runs] }
  return { ...page, runs: page.runs.map((run) => (run.id === summary.id ? { ...run, ...summary } : run)) }
}

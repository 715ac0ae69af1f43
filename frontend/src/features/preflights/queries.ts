/** What the preflight screens ask the server for; again and again while one of them is going on. */
import { queryOptions } from '@tanstack/react-query'
import { api } from '../../api/client.ts'
import { askAgain } from '../../api/preflights.ts'

export const preflightsQuery = queryOptions({
  queryKey: ['preflights'],
  queryFn: ({ signal }) => api.preflights(signal),
  refetchInterval: (query) => askAgain(...(query.state.data?.preflights ?? [])),
})

export const preflightQuery = (id: string) =>
  queryOptions({
    queryKey: ['preflight', id],
    queryFn: ({ signal }) => api.preflight(id, signal),
    refetchInterval: (query) => askAgain(query.state.data),
  })

export const preflightLogQuery = (id: string) =>
  queryOptions({ queryKey: ['preflight', id, 'log'], queryFn: () => api.preflightLog(id) })

export const configsQuery = queryOptions({ queryKey: ['configs'], queryFn: () => api.configs(), staleTime: 60_000 })

/** What the evidence screens ask the server for; it verifies each bundle as it answers. */
import { queryOptions } from '@tanstack/react-query'
import { api } from '../../api/client.ts'

export const bundlesQuery = queryOptions({ queryKey: ['evidence'], queryFn: () => api.bundles() })

export const bundleQuery = (name: string) =>
  queryOptions({ queryKey: ['evidence', name], queryFn: () => api.bundle(name) })

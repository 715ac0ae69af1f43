/** What the evidence screens ask the server for; it verifies each bundle as it answers. */
import { queryOptions } from '@tanstack/react-query'
import { api } from '../../api/client.ts'
import { ASK_EVERY_MILLISECONDS, isReplaying } from '../../api/replays.ts'
import { readDocument } from '../../api/slices.ts'
import { fileAddress } from './address.ts'

export const bundlesQuery = queryOptions({ queryKey: ['evidence'], queryFn: () => api.bundles() })

export const bundleQuery = (name: string) =>
  queryOptions({ queryKey: ['evidence', name], queryFn: () => api.bundle(name) })

/** A bundle's JSON file, as its writer wrote it; `digest` tells versions apart. */
export const documentQuery = <Shape = unknown>(bundle: string, path: string, digest: string) =>
  queryOptions({
    queryKey: ['evidence-document', bundle, path, digest],
    queryFn: ({ signal }) => readDocument(fileAddress(bundle, path), signal) as Promise<Shape>,
    staleTime: Number.POSITIVE_INFINITY,
  })

/** Newest first; asked again while one of them goes on. */
export const replaysQuery = (bundle: string) =>
  queryOptions({
    queryKey: ['replays', bundle],
    queryFn: () => api.replays(bundle),
    refetchInterval: (query) => (query.state.data?.replays.some(isReplaying) ? ASK_EVERY_MILLISECONDS : false),
  })

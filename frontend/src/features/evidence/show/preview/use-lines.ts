import { useInfiniteQuery } from '@tanstack/react-query'
import { useEffect, useMemo } from 'react'
import { readSlice, type Slice } from '../../../../api/slices.ts'

export interface Lines {
  readonly lines: readonly string[]
  /** All lines are there. */
  readonly complete: boolean
  readonly loading: boolean
  readonly error: Error | null
  readonly binary: boolean
}

/** The first `wanted` lines of a text file, and as many more as came with them. `digest` tells versions apart. */
export function useLines(address: string, digest: string, wanted: number): Lines {
  const slices = useInfiniteQuery({
    queryKey: ['evidence-file', address, digest],
    queryFn: ({ pageParam, signal }) => readSlice(address, pageParam, signal),
    initialPageParam: 0,
    getNextPageParam: (last: Slice) => last.next,
    staleTime: Number.POSITIVE_INFINITY,
  })
  const { data, hasNextPage, isFetching, error, fetchNextPage } = slices
  const text = useMemo(() => decode(data?.pages ?? []), [data])
  const lines = useMemo(() => split(text, !hasNextPage), [text, hasNextPage])
  const binary = /[\0\uFFFD]/.test(text.slice(0, 4096))
  const more = data !== undefined && hasNextPage && !error && !binary && lines.length < wanted
  useEffect(() => {
    if (more && !isFetching) void fetchNextPage()
  }, [more, isFetching, fetchNextPage])
  return { lines, complete: data !== undefined && !hasNextPage, loading: isFetching || more, error, binary }
}

/** A character may be cut in two where one slice ends. */
function decode(slices: readonly Slice[]): string {
  const decoder = new TextDecoder()
  return slices.map((slice) => decoder.decode(slice.bytes, { stream: true })).join('')
}

/** Whole lines only, until there is nothing more to come. */
function split(text: string, complete: boolean): string[] {
  const lines = text.split('\n')
  const last = lines.pop()
  return complete && last ? [...lines, last] : lines
}

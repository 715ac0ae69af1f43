import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { dropRun, keepSummary, runQuery, runsQuery } from '../queries.ts'
import { openRunFeed, type RunFeed } from './run-feed.ts'

/** Events that only say what the summary says too. */
const QUIET = new Set(['phase', 'step'])

/** A run's answer, kept up to date by its feed; the feed itself for what draws rows. */
export function useRun(id: string) {
  const queries = useQueryClient()
  const [feed, setFeed] = useState<RunFeed>()
  const run = useQuery(runQuery(id))
  useEffect(() => {
    const refresh = (part?: string) => {
      const queryKey = part ? [...runQuery(id).queryKey, part] : runQuery(id).queryKey
      void queries.invalidateQueries({ queryKey, exact: true })
    }
    let state = ''
    const opened = openRunFeed(id, {
      summary(summary) {
        keepSummary(queries, summary)
        if (state && state !== summary.state) refresh()
        state = summary.state
      },
      gone: () => dropRun(queries, id),
      happened(kinds) {
        for (const kind of ['checkpoint', 'evaluation', 'sample']) if (kinds.has(kind)) refresh(kind)
        if ([...kinds].some((kind) => !QUIET.has(kind))) refresh()
      },
    })
    setFeed(opened)
    return () => {
      opened.close()
      void queries.invalidateQueries({ queryKey: runsQuery.queryKey, exact: true, refetchType: 'none' })
    }
  }, [id, queries])
  return { run, feed: feed?.id === id ? feed : undefined }
}

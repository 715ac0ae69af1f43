import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { readHistory } from '../../../api/history.ts'
import type { RunSummary } from '../../../api/types.ts'
import { dropRun, keepSummary, runQuery, runsQuery } from '../queries.ts'
import { openRunFeed, type RunFeed } from './run-feed.ts'

/** Events that only say what the summary says too. */
const QUIET = new Set(['phase', 'step'])

/** From so many steps on they are asked for at once. */
const LONG_STEPS = 2_000

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
    const listener = {
      summary(summary: RunSummary) {
        keepSummary(queries, summary)
        if (state && state !== summary.state) refresh()
        state = summary.state
      },
      gone: () => dropRun(queries, id),
      happened(kinds: ReadonlySet<string>) {
        for (const kind of ['checkpoint', 'evaluation', 'sample']) if (kinds.has(kind)) refresh(kind)
        if ([...kinds].some((kind) => !QUIET.has(kind))) refresh()
      },
    }
    const history = queries
      .ensureQueryData(runQuery(id))
      .then((run) => (run.step >= LONG_STEPS ? readHistory(id) : undefined))
      .catch(() => undefined) // the stream tells everything, only slower
    const opened = openRunFeed(id, listener, history)
    setFeed(opened)
    return () => {
      opened.close()
      void queries.invalidateQueries({ queryKey: runsQuery.queryKey, exact: true, refetchType: 'none' })
    }
  }, [id, queries])
  return { run, feed: feed?.id === id ? feed : undefined }
}

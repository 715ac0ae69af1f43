/** What the stream says of one run, kept outside React: its rows as columns, and bells for everything else. */
import { runStream } from '../../../api/run-stream.ts'
import type { RunSummary } from '../../../api/types.ts'
import { type Columns, createColumns } from '../../../chart/columns.ts'

export interface FeedListener {
  summary(summary: RunSummary): void
  gone(): void
  /** Kinds of the events that came: there is more to ask for. */
  happened(kinds: ReadonlySet<string>): void
}

export interface RunFeed {
  readonly id: string
  columns(): Columns
  /** Rises whenever rows were added. */
  version(): number
  onRows(listener: () => void): () => void
  onLog(listener: () => void): () => void
  close(): void
}

export function openRunFeed(id: string, listener: FeedListener): RunFeed {
  let columns = createColumns()
  let version = 0
  const rowListeners = new Set<() => void>()
  const logListeners = new Set<() => void>()
  const changed = () => {
    version += 1
    for (const notify of rowListeners) notify()
  }
  const close = runStream.watch({
    run: id,
    log: true,
    summary: listener.summary,
    gone: listener.gone,
    metrics(block) {
      if (columns.append(block.columns) > 0) changed()
    },
    events: (block) => listener.happened(new Set(block.events.map((event) => String(event.kind)))),
    logged() {
      for (const notify of logListeners) notify()
    },
    restart() {
      columns = createColumns()
      changed()
    },
  })
  const added = (listeners: Set<() => void>) => (notify: () => void) => {
    listeners.add(notify)
    return () => {
      listeners.delete(notify)
    }
  }
  return {
    id,
    columns: () => columns,
    version: () => version,
    onRows: added(rowListeners),
    onLog: added(logListeners),
    close,
  }
}

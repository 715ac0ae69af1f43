/** What the stream says of one run, kept outside React: its rows as columns, and bells for everything else. */
import type { History } from '../../../api/history.ts'
import { runStream, type Watcher } from '../../../api/run-stream.ts'
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

/** `history`: the steps that are known already, if it is worth asking for them at once; the rest is streamed. */
export function openRunFeed(id: string, listener: FeedListener, history: Promise<History | undefined>): RunFeed {
  let columns = createColumns()
  let version = 0
  const rowListeners = new Set<() => void>()
  const logListeners = new Set<() => void>()
  const changed = () => {
    version += 1
    for (const notify of rowListeners) notify()
  }
  let closed = false
  let unwatch = () => {}
  const watcher: Watcher = {
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
  }
  void history.then((known) => {
    if (closed) return
    if (known && columns.append(known.columns) > 0) changed()
    unwatch = runStream.watch(watcher, known?.cursor)
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
    close() {
      closed = true
      unwatch()
    },
  }
}

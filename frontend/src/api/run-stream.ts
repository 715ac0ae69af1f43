/**
 * One event stream per tab for everything that is watched in it: runs by id, and the list of runs.
 *
 * History and live are one read: a run that starts to be watched is sent from its first line on. A dropped connection
 * is taken up where it stood, by the browser (Last-Event-ID) or, when the stream has to be opened anew because what is
 * watched has changed or the server refused, by the cursor. Where there is none to go on from, the run's watchers are
 * told to `restart` before its lines come from the first on.
 */
import type { EventsBlock, LogBlock, MetricsBlock, RunSummary } from './types.ts'

export type Connection = 'idle' | 'connecting' | 'live' | 'reconnecting' | 'stale'

export interface Watcher {
  /** A run by its id; absent: the list of runs. */
  readonly run?: string
  readonly log?: boolean
  summary?(summary: RunSummary): void
  metrics?(block: MetricsBlock): void
  events?(block: EventsBlock): void
  /** There is more in the log. */
  logged?(block: LogBlock): void
  /** What was heard so far may not be all, or counts no more: a run comes from its first line, the list is asked for. */
  restart?(): void
  /** The run was moved to the trash, or its folder is gone. */
  gone?(run: string): void
}

export interface RunStream {
  /** `cursor`: of what the watcher knows of its run already; without one it is told everything. */
  watch(watcher: Watcher, cursor?: string): () => void
  connection(): Connection
  onConnection(listener: () => void): () => void
}

const STALE_MILLISECONDS = 20_000
const HIDDEN_MILLISECONDS = 60_000
const LONGEST_BACKOFF_MILLISECONDS = 15_000

export function createRunStream(): RunStream {
  const watchers = new Set<Watcher>()
  const listeners = new Set<() => void>()
  const places = new Map<string, string>()
  const greeted = new WeakSet<Watcher>()
  let source: EventSource | undefined
  let opened = ''
  let connection: Connection = 'idle'
  let failures = 0
  let planned = false
  let retry: ReturnType<typeof setTimeout> | undefined
  let stale: ReturnType<typeof setTimeout> | undefined
  let hidden: ReturnType<typeof setTimeout> | undefined

  const tell = (next: Connection) => {
    if (next === connection) return
    connection = next
    for (const listener of listeners) listener()
  }
  const close = () => {
    source?.close()
    source = undefined
    opened = ''
    clearTimeout(retry)
    retry = undefined
  }
  const lost = () => {
    tell('reconnecting')
    stale ??= setTimeout(() => tell('stale'), STALE_MILLISECONDS)
    if (source?.readyState !== EventSource.CLOSED) return
    close()
    const wait = Math.min(500 * 2 ** failures, LONGEST_BACKOFF_MILLISECONDS)
    failures += 1
    retry = setTimeout(open, wait)
  }
  const found = () => {
    failures = 0
    clearTimeout(stale)
    stale = undefined
    tell('live')
  }
  const open = () => {
    const address = addressOf(watchers)
    if (address === opened && source) return
    close()
    if (!address) return tell('idle')
    if (connection === 'idle') tell('connecting')
    for (const watcher of watchers) if (watcher.run && !places.has(watcher.run)) watcher.restart?.()
    opened = address
    source = new EventSource(address + cursorOf(watchers, places))
    source.addEventListener('open', found)
    source.addEventListener('error', lost)
    route(source, watchers, places)
    source.addEventListener('hello', () => greet(watchers, greeted))
  }
  /** What is watched often changes several times in one tick (a page leaves, another comes): open once, after it. */
  const plan = () => {
    if (planned) return
    planned = true
    queueMicrotask(() => {
      planned = false
      if (!document.hidden || source) open()
    })
  }
  document.addEventListener('visibilitychange', () => {
    clearTimeout(hidden)
    if (!document.hidden) open()
    else
      hidden = setTimeout(() => {
        close()
        tell(watchers.size > 0 ? 'stale' : 'idle')
      }, HIDDEN_MILLISECONDS)
  })

  return {
    watch(watcher, cursor) {
      const alone = ![...watchers].some((other) => other.run === watcher.run)
      watchers.add(watcher)
      if (watcher.run) {
        if (cursor && alone) places.set(watcher.run, cursor)
        else places.delete(watcher.run)
        opened = ''
      }
      plan()
      return () => {
        watchers.delete(watcher)
        plan()
      }
    },
    connection: () => connection,
    onConnection(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

function addressOf(watchers: ReadonlySet<Watcher>): string {
  const runs = [...new Set([...watchers].flatMap((watcher) => watcher.run ?? []))].sort()
  const list = [...watchers].some((watcher) => watcher.run === undefined)
  if (runs.length === 0 && !list) return ''
  const query = new URLSearchParams()
  if (runs.length > 0) query.set('runs', runs.join(','))
  if (list) query.set('list', 'true')
  if ([...watchers].some((watcher) => watcher.log)) query.set('log', 'true')
  return `/stream?${query}`
}

/** `&cursor=` with the places of the runs that are watched on; a place is `run:` and what only the server reads. */
function cursorOf(watchers: ReadonlySet<Watcher>, places: Map<string, string>): string {
  const watched = new Set([...watchers].map((watcher) => watcher.run))
  for (const run of [...places.keys()]) if (!watched.has(run)) places.delete(run)
  return places.size > 0 ? `&${new URLSearchParams({ cursor: [...places.values()].join(',') })}` : ''
}

/** A list that was watched before this connection may have lost a run meanwhile, which nothing would tell of. */
function greet(watchers: ReadonlySet<Watcher>, greeted: WeakSet<Watcher>): void {
  for (const watcher of watchers) {
    if (watcher.run === undefined && greeted.has(watcher)) watcher.restart?.()
    greeted.add(watcher)
  }
}

function route(source: EventSource, watchers: ReadonlySet<Watcher>, places: Map<string, string>): void {
  const each = <Data>(name: string, give: (watcher: Watcher, data: Data) => void) =>
    source.addEventListener(name, (event: MessageEvent<string>) => {
      const data = JSON.parse(event.data) as Data
      for (const watcher of [...watchers]) give(watcher, data)
      for (const place of event.lastEventId ? event.lastEventId.split(',') : [])
        places.set(place.slice(0, place.indexOf(':')), place)
    })
  each<RunSummary>('summary', (watcher, summary) => {
    if (watcher.run === undefined || watcher.run === summary.id) watcher.summary?.(summary)
  })
  each<MetricsBlock>('metrics', (watcher, block) => {
    if (watcher.run === block.run) watcher.metrics?.(block)
  })
  each<EventsBlock>('events', (watcher, block) => {
    if (watcher.run === block.run) watcher.events?.(block)
  })
  each<{ run: string }>('restart', (watcher, { run }) => {
    if (watcher.run === run) watcher.restart?.()
  })
  each<{ run: string }>('gone', (watcher, { run }) => {
    if (watcher.run === undefined || watcher.run === run) watcher.gone?.(run)
  })
  each<LogBlock>('log', (watcher, block) => {
    if (watcher.run === block.run) watcher.logged?.(block)
  })
}

/** The tab's stream. */
export const runStream = createRunStream()

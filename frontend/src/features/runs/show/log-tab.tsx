import { useVirtualizer } from '@tanstack/react-virtual'
import { ArrowDown, ArrowUp, TriangleAlert } from 'lucide-react'
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { Run } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { classes } from '../../../ui/classes.ts'
import { CopyButton } from '../../../ui/copy.tsx'
import { count } from '../../../ui/format.ts'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { SearchField } from '../../../ui/search-field.tsx'
import { useShortcuts } from '../../../ui/shortcuts.ts'
import { Switch } from '../../../ui/switch.tsx'
import { isLive } from '../state.tsx'
import { createLogReader, firstError, matching } from './log-reader.ts'
import type { RunFeed } from './run-feed.ts'

const ROW_HEIGHT = 20

export function LogTab({ run, feed }: { readonly run: Run; readonly feed: RunFeed | undefined }) {
  const reader = useMemo(() => createLogReader(run.id), [run.id])
  const lines = useSyncExternalStore(reader.subscribe, reader.lines)
  const state = useSyncExternalStore(reader.subscribe, reader.state)
  useEffect(() => void reader.more(), [reader])
  useEffect(() => feed?.onLog(() => void reader.more()), [feed, reader])
  // What came between the last bell and the end.
  useEffect(() => {
    if (!isLive(run.state)) void reader.more()
  }, [run.state, reader])
  if (state === 'failed')
    return (
      <Failure
        title="The log cannot be loaded."
        reason="The server did not send it."
        retry={() => void reader.more()}
      />
    )
  if (state === 'reading' && lines.length === 0) return <div className="skeleton h-96 rounded-xl" />
  if (lines.length === 0)
    return (
      <Empty title="The log is empty">
        <p>{isLive(run.state) ? 'The trainer has not printed anything yet.' : 'The trainer printed nothing.'}</p>
      </Empty>
    )
  return <LogView lines={lines} live={isLive(run.state)} />
}

function LogView({ lines, live }: { readonly lines: readonly string[]; readonly live: boolean }) {
  const [follow, setFollow] = useState(live)
  const [words, setWords] = useState('')
  const [hit, setHit] = useState(-1)
  const scroller = useRef<HTMLElement>(null)
  const search = useRef<HTMLInputElement>(null)
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 20,
  })
  const hits = useMemo(() => matching(lines, words), [lines, words])
  const error = useMemo(() => firstError(lines), [lines])
  useShortcuts({ '/': () => search.current?.focus(), f: () => setFollow(!follow) })
  useEffect(() => {
    if (follow) virtual.scrollToIndex(lines.length - 1, { align: 'end' })
  }, [follow, lines.length, virtual])
  const jump = (line: number) => {
    setFollow(false)
    setHit(line)
    virtual.scrollToIndex(line, { align: 'center' })
  }
  const next = (direction: 1 | -1) => {
    const ahead = direction > 0 ? hits.find((line) => line > hit) : hits.findLast((line) => line < hit)
    const line = ahead ?? (direction > 0 ? hits[0] : hits.at(-1))
    if (line !== undefined) jump(line)
  }
  return (
    <div className="grid gap-3">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <SearchField
          ref={search}
          label="Search the log"
          placeholder="Search"
          value={words}
          onChange={setWords}
          onEnter={(backwards) => next(backwards ? -1 : 1)}
          className="w-full sm:w-72"
        />
        {words && (
          <div className="flex items-center gap-1 text-xs text-ink-2">
            <span role="status">{hits.length === 1 ? '1 line' : `${count(hits.length)} lines`}</span>
            <Button small look="quiet" aria-label="Previous match" disabled={!hits.length} onClick={() => next(-1)}>
              <ArrowUp aria-hidden size={14} />
            </Button>
            <Button small look="quiet" aria-label="Next match" disabled={!hits.length} onClick={() => next(1)}>
              <ArrowDown aria-hidden size={14} />
            </Button>
          </div>
        )}
        {error >= 0 && (
          <Button small onClick={() => jump(error)}>
            <TriangleAlert aria-hidden size={14} className="text-bad" /> First error, line {count(error + 1)}
          </Button>
        )}
        <div className="ml-auto flex items-center gap-3">
          {live && <Switch label="Follow" checked={follow} onChange={setFollow} />}
          <CopyButton text={lines.join('\n')} label="Copy all" />
        </div>
      </div>
      <section
        ref={scroller}
        aria-label="Log"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        onWheel={(event) => event.deltaY < 0 && setFollow(false)}
        className="h-[min(36rem,65dvh)] overflow-auto rounded-xl border border-line bg-sunken py-2 font-mono text-xs"
      >
        <div className="relative w-max min-w-full" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const text = lines[item.index] ?? ''
            const found = words !== '' && text.toLowerCase().includes(words.toLowerCase())
            return (
              <div
                key={item.index}
                className={classes(
                  'absolute left-0 flex w-full pr-4 leading-5 whitespace-pre',
                  item.index === hit ? 'bg-accent-soft' : found && 'bg-warn-soft',
                  item.index === error && 'text-bad',
                )}
                style={{ height: ROW_HEIGHT, transform: `translateY(${item.start}px)` }}
              >
                <span className="sticky left-0 w-14 shrink-0 bg-sunken pr-3 text-right text-ink-3 select-none">
                  {item.index + 1}
                </span>
                {text}
              </div>
            )
          })}
        </div>
      </section>
    </div>
  )
}

import { useSyncExternalStore } from 'react'
import { runStream, type Connection as State } from '../api/run-stream.ts'
import { classes } from '../ui/classes.ts'

const SAID: Record<State, { word: string; look: string; help: string }> = {
  idle: { word: '', look: '', help: '' },
  connecting: { word: 'Connecting', look: 'bg-line-strong', help: 'Opening the live stream' },
  live: { word: 'Live', look: 'bg-good', help: 'What you see is what the runs say now' },
  reconnecting: { word: 'Reconnecting', look: 'bg-warn', help: 'The stream was cut; going on where it stood' },
  stale: { word: 'Stale', look: 'bg-bad', help: 'No connection to the server; the numbers are the last known ones' },
}

/** Whether the numbers on the page are moving with the runs. */
export function ConnectionSign() {
  const state = useSyncExternalStore(runStream.onConnection, runStream.connection)
  const { word, look, help } = SAID[state]
  return (
    <span role="status" title={help} className="flex items-center gap-1.5 text-xs text-ink-2">
      {word && <span aria-hidden className={classes('size-2 rounded-full', look)} />}
      <span className={state === 'stale' ? undefined : 'max-sm:sr-only'}>{word}</span>
    </span>
  )
}

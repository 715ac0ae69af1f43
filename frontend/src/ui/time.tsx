import { useSyncExternalStore } from 'react'
import { ago, utc } from './format.ts'

let now = Date.now()
const listeners = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

/** One clock for all relative times on the page; it stands while nobody reads it. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  timer ??= setInterval(() => {
    now = Date.now()
    for (const notify of listeners) notify()
  }, 5000)
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
}

/** "4 m ago", the exact UTC time in the tooltip. */
export function Ago({ time }: { readonly time: string }) {
  const instant = useSyncExternalStore(subscribe, () => now)
  return (
    <time dateTime={time} title={utc(time)}>
      {ago(time, Math.max(instant, Date.parse(time)))}
    </time>
  )
}

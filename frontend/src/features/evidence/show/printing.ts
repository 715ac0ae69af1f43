import { useSyncExternalStore } from 'react'
import { flushSync } from 'react-dom'

let printing = false

/** Paper cannot be unfolded: what is folded on the screen stands open while it is printed. */
function subscribe(listener: () => void): () => void {
  const change = (now: boolean) => () => {
    printing = now
    flushSync(listener)
  }
  const before = change(true)
  const after = change(false)
  window.addEventListener('beforeprint', before)
  window.addEventListener('afterprint', after)
  return () => {
    window.removeEventListener('beforeprint', before)
    window.removeEventListener('afterprint', after)
  }
}

export function usePrinting(): boolean {
  return useSyncExternalStore(subscribe, () => printing)
}

import { useEffect, useSyncExternalStore } from 'react'
import { decoded } from '../address.ts'

function subscribe(listener: () => void): () => void {
  window.addEventListener('hashchange', listener)
  return () => window.removeEventListener('hashchange', listener)
}

/** What the address points at, "#" included. */
export function useAnchor(): string {
  return useSyncExternalStore(subscribe, () => location.hash)
}

/** Brings it into view. The browser cannot: the page came later, or a part of it is folded. */
export function useFollowedAnchor(ready: boolean): void {
  const anchor = useAnchor()
  useEffect(() => {
    if (!ready || !anchor) return
    const target = document.getElementById(decoded(anchor).slice(1))
    for (let place = target; place; place = place.parentElement)
      if (place.matches('details')) place.setAttribute('open', '')
    target?.scrollIntoView({ block: 'center' })
  }, [ready, anchor])
}

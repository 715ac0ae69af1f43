import { type RefObject, useEffect, useRef } from 'react'

/** For the element that the address points at: it is brought into view as soon as it is there. */
export function useBroughtIntoView<Target extends HTMLElement>(there: boolean): RefObject<Target | null> {
  const target = useRef<Target>(null)
  useEffect(() => {
    if (there) target.current?.scrollIntoView({ block: 'center' })
  }, [there])
  return target
}

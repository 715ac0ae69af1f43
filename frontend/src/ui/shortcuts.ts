import { useEffect, useRef } from 'react'

/** Keys ("n", "?", "g r") and what they do. Nothing happens while a field has the focus, or a dialog is open. */
export type Shortcuts = Readonly<Record<string, (event: KeyboardEvent) => void>>

const SEQUENCE_MILLISECONDS = 1200

export function useShortcuts(shortcuts: Shortcuts): void {
  const latest = useRef(shortcuts)
  latest.current = shortcuts
  useEffect(() => {
    let first = ''
    let firstAt = 0
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || occupied(event.target)) return
      const sequence = first && event.timeStamp - firstAt < SEQUENCE_MILLISECONDS ? `${first} ${event.key}` : event.key
      const action = latest.current[sequence] ?? latest.current[event.key]
      first = event.key
      firstAt = event.timeStamp
      if (!action) return
      first = ''
      event.preventDefault()
      action(event)
    }
    document.addEventListener('keydown', press)
    return () => document.removeEventListener('keydown', press)
  }, [])
}

function occupied(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement && /^(radio|checkbox|range)$/.test(target.type)) return false
  return (
    target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || !!target.closest('[role=dialog]')
  )
}

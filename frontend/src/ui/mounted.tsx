import { type ReactNode, useEffect, useRef } from 'react'

interface MountedProps<Handle extends { destroy(): void }> {
  /** Makes the thing inside the element. A new function makes a new thing. */
  readonly mount: (element: HTMLElement) => Handle
  /** Runs after every render with the thing that stands there. */
  readonly update: (handle: Handle) => void
  readonly label: string
  readonly className?: string
  readonly children?: ReactNode
}

/** Gives a thing that draws itself (a chart, say) an element to live in, for as long as it is on the page. */
export function Mounted<Handle extends { destroy(): void }>({ mount, update, label, className }: MountedProps<Handle>) {
  const host = useRef<HTMLDivElement>(null)
  const handle = useRef<Handle | undefined>(undefined)
  useEffect(() => {
    if (!host.current) return
    const made = mount(host.current)
    handle.current = made
    return () => {
      handle.current = undefined
      made.destroy()
    }
  }, [mount])
  useEffect(() => {
    if (handle.current) update(handle.current)
  })
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what lives here answers to the keyboard
    <div ref={host} role="img" aria-label={label} tabIndex={0} className={className} />
  )
}

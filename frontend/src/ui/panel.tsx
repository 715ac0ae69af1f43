import { type ReactNode, useId } from 'react'
import { classes } from './classes.ts'

interface PanelProps {
  readonly title?: ReactNode
  readonly id?: string
  readonly aside?: ReactNode
  readonly flush?: boolean
  readonly className?: string
  readonly children: ReactNode
}

/** A framed part of a page. With a title it is a named region. */
export function Panel({ title, id, aside, flush, className, children }: PanelProps) {
  const heading = useId()
  return (
    <section
      id={id}
      aria-labelledby={title ? heading : undefined}
      className={classes('min-w-0 overflow-hidden rounded-xl border border-line bg-panel', className)}
    >
      {title && (
        <div className="flex min-h-12 flex-wrap items-center justify-between gap-x-4 gap-y-2 border-b border-line px-4 py-2">
          <h2 id={heading} className="text-sm font-semibold">
            {title}
          </h2>
          {aside}
        </div>
      )}
      <div className={flush ? undefined : 'p-4'}>{children}</div>
    </section>
  )
}

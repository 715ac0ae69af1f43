import { CircleAlert, Info, TriangleAlert } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button } from './button.tsx'
import { classes } from './classes.ts'

interface NoticeProps {
  readonly tone: 'bad' | 'warn' | 'neutral'
  readonly title: string
  readonly children?: ReactNode
}

const LOOK = {
  bad: { frame: 'border-bad/40 bg-bad-soft', icon: CircleAlert, ink: 'text-bad' },
  warn: { frame: 'border-warn/40 bg-warn-soft', icon: TriangleAlert, ink: 'text-warn' },
  neutral: { frame: 'border-line bg-sunken', icon: Info, ink: 'text-ink-2' },
}

export function Notice({ tone, title, children }: NoticeProps) {
  const { frame, icon: Icon, ink } = LOOK[tone]
  return (
    <div className={classes('flex gap-3 rounded-xl border px-4 py-3', frame)}>
      <Icon aria-hidden size={18} className={classes('mt-0.5 shrink-0', ink)} />
      <div className="min-w-0 grow text-sm">
        <p className="font-semibold wrap-anywhere">{title}</p>
        {children && <div className="mt-1 wrap-anywhere text-ink-2">{children}</div>}
      </div>
    </div>
  )
}

interface FailureProps {
  readonly title: string
  readonly reason: string
  readonly retry?: () => void
}

/** What could not be loaded, in words, and a way on. */
export function Failure({ title, reason, retry }: FailureProps) {
  return (
    <div role="alert">
      <Notice tone="bad" title={title}>
        <p>{reason}</p>
        {retry && (
          <Button small className="mt-3" onClick={retry}>
            Try again
          </Button>
        )}
      </Notice>
    </div>
  )
}

interface EmptyProps {
  readonly title: string
  readonly children: ReactNode
}

export function Empty({ title, children }: EmptyProps) {
  return (
    <div className="grid justify-items-center rounded-xl border border-dashed border-line px-6 py-14 text-center">
      <h2 className="text-base font-semibold">{title}</h2>
      <div className="mt-2 grid w-full max-w-xl justify-items-center gap-4 text-sm text-ink-2">{children}</div>
    </div>
  )
}

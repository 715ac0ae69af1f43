import type { LucideIcon } from 'lucide-react'
import type { ReactNode } from 'react'
import { classes } from './classes.ts'

export type Tone = 'good' | 'bad' | 'warn' | 'accent' | 'neutral'

export const TONE: Record<Tone, string> = {
  good: 'bg-good-soft text-good',
  bad: 'bg-bad-soft text-bad',
  warn: 'bg-warn-soft text-warn',
  accent: 'bg-accent-soft text-accent',
  neutral: 'bg-sunken text-ink-2',
}

interface BadgeProps {
  readonly tone: Tone
  readonly icon?: LucideIcon
  readonly live?: boolean
  readonly children: ReactNode
}

/** A state: icon and word, never colour alone. */
export function Badge({ tone, icon: Icon, live, children }: BadgeProps) {
  return (
    <span
      className={classes(
        'inline-flex h-6 w-fit items-center gap-1.5 rounded-full px-2.5 text-xs font-medium whitespace-nowrap',
        TONE[tone],
      )}
    >
      {Icon && <Icon aria-hidden size={13} strokeWidth={2.25} className={live ? 'pulse' : undefined} />}
      {children}
    </span>
  )
}

import type { ButtonHTMLAttributes, ReactNode } from 'react'
import { classes } from './classes.ts'

type Look = 'primary' | 'plain' | 'quiet' | 'danger'

const LOOK: Record<Look, string> = {
  primary: 'bg-accent text-on-accent border-accent hover:bg-accent-strong hover:border-accent-strong',
  plain: 'bg-panel text-ink border-line hover:bg-hover hover:border-line-strong',
  quiet: 'bg-transparent text-ink-2 border-transparent hover:bg-hover hover:text-ink',
  danger: 'bg-panel text-bad border-line hover:bg-bad-soft hover:border-bad',
}

/** The classes of a button, for links that look like one. */
export function buttonClass(look: Look = 'plain', small = false): string {
  return classes(
    'relative inline-flex items-center justify-center gap-1.5 rounded-md border font-medium whitespace-nowrap select-none transition-colors',
    'disabled:cursor-not-allowed disabled:opacity-55',
    small ? 'min-h-7 px-2 text-xs' : 'min-h-9 px-3 text-sm',
    LOOK[look],
  )
}

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly look?: Look
  readonly small?: boolean
  readonly children: ReactNode
}

export function Button({ look = 'plain', small = false, className, type = 'button', ...rest }: ButtonProps) {
  return <button type={type} className={classes(buttonClass(look, small), className)} {...rest} />
}

import { classes } from './classes.ts'

interface ProgressProps {
  readonly label: string
  readonly done: number
  readonly total: number
  readonly tone?: 'accent' | 'bad' | 'neutral' | 'good'
  readonly thin?: boolean
}

const FILL = { accent: 'bg-accent', bad: 'bg-bad', neutral: 'bg-line-strong', good: 'bg-good' }

export function Progress({ label, done, total, tone = 'accent', thin }: ProgressProps) {
  const share = total > 0 ? Math.min(1, done / total) : 0
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={Math.min(done, total)}
      className={classes('w-full overflow-hidden rounded-full bg-line', thin ? 'h-1' : 'h-1.5')}
    >
      <div
        className={classes('h-full rounded-full transition-[width] duration-300', FILL[tone])}
        style={{ width: `${share * 100}%` }}
      />
    </div>
  )
}

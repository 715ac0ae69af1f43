import { classes } from '../../ui/classes.ts'
import { bytes } from './numbers.ts'

export interface Part {
  readonly name: string
  readonly bytes: number
  readonly fill: string
}

interface MemoryBarProps {
  readonly parts: readonly Part[]
  readonly limit: number
  readonly label: string
  readonly thin?: boolean
}

/** Room behind the limit, so that its line is seen as a line and not as the end of the bar. */
const BEYOND = 1.06

/** What one device must hold, stacked, against what it has: a line at the limit, wherever the bar ends. */
export function MemoryBar({ parts, limit, label, thin }: MemoryBarProps) {
  const total = parts.reduce((sum, part) => sum + part.bytes, 0)
  const whole = Math.max(limit, total) * BEYOND
  const at = (bytes: number) => `${(100 * bytes) / whole}%`
  return (
    <div role="img" aria-label={label} className="w-full">
      <div className={classes('relative', thin ? 'h-3' : 'h-12')}>
        <div className="absolute inset-y-0 left-0 rounded bg-sunken ring-1 ring-line" style={{ width: at(limit) }} />
        <div
          className={classes('absolute left-0 flex gap-px', thin ? 'inset-y-0.5' : 'inset-y-2')}
          style={{ width: at(total) }}
        >
          {parts
            .filter((part) => part.bytes > 0)
            .map((part) => (
              <div
                key={part.name}
                className={classes('h-full min-w-px first:rounded-l-sm last:rounded-r-sm', part.fill)}
                style={{ flexGrow: part.bytes, flexBasis: 0 }}
              />
            ))}
        </div>
        <div
          className={classes('absolute w-0.5 bg-ink', thin ? 'inset-y-0' : '-inset-y-1')}
          style={{ left: at(limit) }}
        />
      </div>
      {!thin && (
        <div aria-hidden className="relative mt-2 h-4 text-xs text-ink-3">
          <span className="absolute left-0">0</span>
          <span
            className={classes('absolute whitespace-nowrap', 2 * limit > whole ? '-translate-x-full' : 'pl-1')}
            style={{ left: at(limit) }}
          >
            limit <span className="font-medium text-ink">{bytes(limit)}</span>
          </span>
        </div>
      )}
    </div>
  )
}

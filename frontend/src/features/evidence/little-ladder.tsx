import { classes } from '../../ui/classes.ts'
import { LEVELS, rungs } from './levels.ts'

/** The six levels as six small bars: how far up the ladder of proof this is, at a glance. */
export function LittleLadder({ level, valid }: { readonly level: string; readonly valid: boolean }) {
  const reached = rungs(level)
  const said = level ? `Level ${level}, ${reached} of ${LEVELS.length} levels` : 'No level reached'
  return (
    <span role="img" aria-label={said} title={said} className="inline-flex items-end gap-0.5">
      {LEVELS.map((rung, index) => (
        <span
          key={rung.level}
          className={classes('w-2 rounded-sm', index < reached ? (valid ? 'bg-good' : 'bg-bad') : 'bg-line')}
          style={{ height: `${6 + index * 2}px` }}
        />
      ))}
    </span>
  )
}

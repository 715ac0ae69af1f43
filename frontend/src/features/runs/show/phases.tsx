import { Check } from 'lucide-react'
import type { Run } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'

const BEFORE_TRAINING = ['queued', 'starting', 'loading', 'building', 'compiling', 'training'] as const

const MEANING: Record<(typeof BEFORE_TRAINING)[number], string> = {
  queued: 'waits for its device',
  starting: 'Python is importing JAX',
  loading: 'reads data and tokenizer',
  building: 'makes the model',
  compiling: 'XLA compiles the step',
  training: 'first step',
}

/** How far a run is that has no step yet. */
export function Phases({ run }: { readonly run: Run }) {
  const now = run.state === 'running' ? (run.phase ?? 'starting') : run.state
  const at = BEFORE_TRAINING.indexOf(now as (typeof BEFORE_TRAINING)[number])
  return (
    <ol aria-label="Phases before the first step" className="mt-2 grid gap-2 text-sm sm:grid-cols-6">
      {BEFORE_TRAINING.map((phase, index) => {
        const done = index < at
        const current = index === at
        return (
          <li
            key={phase}
            aria-current={current ? 'step' : undefined}
            className={classes(
              'border-l-2 pl-2.5 sm:border-t-2 sm:border-l-0 sm:pt-2 sm:pl-0',
              current ? 'border-accent' : done ? 'border-good' : 'border-line',
            )}
          >
            <span
              className={classes(
                'flex items-center gap-1 font-medium',
                current ? 'text-accent' : !done && 'text-ink-3',
              )}
            >
              {done && <Check aria-label="done" size={13} className="text-good" />}
              <span className={current ? 'pulse' : undefined}>{phase}</span>
            </span>
            <span className="text-xs text-ink-3">{MEANING[phase]}</span>
          </li>
        )
      })}
    </ol>
  )
}

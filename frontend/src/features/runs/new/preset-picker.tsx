import { Clock, Target } from 'lucide-react'
import { useId } from 'react'
import type { Config } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'

interface PresetPickerProps {
  readonly configs: readonly Config[]
  readonly chosen: string
  readonly onChoose: (name: string) => void
}

/** The shipped configs, each with what it is for, how long it takes and what it ends with. */
export function PresetPicker({ configs, chosen, onChoose }: PresetPickerProps) {
  const name = useId()
  return (
    <fieldset>
      <legend className="mb-2 text-sm font-semibold">Start from</legend>
      <div className="grid gap-3 md:grid-cols-2 xl:grid-cols-3">
        {configs.map((config) => (
          <label
            key={config.path}
            className={classes(
              'grid min-w-0 cursor-pointer content-start gap-2 rounded-xl border bg-panel p-4 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent',
              config.name === chosen ? 'border-accent ring-1 ring-accent' : 'border-line hover:border-line-strong',
              config.problem && 'cursor-not-allowed',
            )}
          >
            <span className="flex items-center gap-2">
              <input
                type="radio"
                name={name}
                className="accent-accent"
                checked={config.name === chosen}
                disabled={config.problem !== null}
                onChange={() => onChoose(config.name)}
              />
              <span className="min-w-0 font-semibold wrap-anywhere">{config.name}</span>
            </span>
            {config.problem ? (
              <span className="text-sm wrap-anywhere text-bad">{config.problem}</span>
            ) : (
              <span className="text-sm text-ink-2">{config.description}</span>
            )}
            {config.expected_duration && (
              <span className="flex gap-2 text-xs text-ink-2">
                <Clock aria-label="Takes" size={14} className="mt-px shrink-0 text-ink-3" /> {config.expected_duration}
              </span>
            )}
            {config.expected_result && (
              <span className="flex gap-2 text-xs text-ink-2">
                <Target aria-label="Ends with" size={14} className="mt-px shrink-0 text-ink-3" />{' '}
                {config.expected_result}
              </span>
            )}
          </label>
        ))}
      </div>
    </fieldset>
  )
}

import { useId } from 'react'
import { classes } from './classes.ts'

interface SegmentedProps<Value extends string> {
  readonly label: string
  readonly options: readonly { readonly value: Value; readonly label: string }[]
  readonly value: Value
  readonly onChange: (value: Value) => void
  readonly id?: string
}

/** A few choices side by side: a radio group that looks like one control. */
export function Segmented<Value extends string>({ label, options, value, onChange, id }: SegmentedProps<Value>) {
  const name = useId()
  return (
    <fieldset id={id} className="inline-flex rounded-md border border-line bg-sunken p-0.5">
      <legend className="sr-only">{label}</legend>
      {options.map((option) => (
        <label
          key={option.value}
          className={classes(
            'flex min-h-7 cursor-pointer items-center rounded px-2.5 text-xs font-medium has-focus-visible:outline-2 has-focus-visible:outline-accent',
            option.value === value ? 'bg-panel text-ink shadow-sm ring-1 ring-line' : 'text-ink-2 hover:text-ink',
          )}
        >
          <input
            type="radio"
            name={name}
            className="sr-only"
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </fieldset>
  )
}

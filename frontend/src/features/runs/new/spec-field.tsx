import { RotateCcw } from 'lucide-react'
import type { DataFile } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { bytes } from '../../../ui/format.ts'
import { Segmented } from '../../../ui/segmented.tsx'
import { Switch } from '../../../ui/switch.tsx'
import type { Field } from './schema.ts'

interface SpecFieldProps {
  readonly field: Field
  readonly text: string
  readonly declared: string
  readonly changed: boolean
  readonly problem: string | undefined
  readonly dataFiles: readonly DataFile[]
  readonly onType: (text: string) => void
  readonly onReset: () => void
}

export function fieldId(key: string): string {
  return `field-${key}`
}

/** One setting: name, control, what is allowed, and what is wrong with it. */
export function SpecField(props: SpecFieldProps) {
  const { field, declared, changed, problem, onReset } = props
  const id = fieldId(field.key)
  const wide = field.kind === 'path' || field.kind === 'multiline'
  return (
    <div className={classes('min-w-0', wide && 'sm:col-span-2 lg:col-span-3')}>
      <div className="flex min-h-6 items-center gap-2">
        <label htmlFor={id} className="text-sm font-medium">
          {field.title}
        </label>
        {changed && (
          <button
            type="button"
            onClick={onReset}
            aria-label={`Reset ${field.title} to ${declared || 'empty'}`}
            className="inline-flex min-h-6 min-w-0 items-center gap-1 rounded-full bg-warn-soft px-2 text-xs text-warn hover:underline"
          >
            <RotateCcw aria-hidden size={11} className="shrink-0" />
            <span className="truncate">was {declared || 'empty'}</span>
          </button>
        )}
      </div>
      <div className="mt-1">
        <Control {...props} />
      </div>
      {problem && (
        <p id={`${id}-problem`} className="mt-1 text-sm text-bad">
          {problem}
        </p>
      )}
      <p id={`${id}-help`} className="mt-1 text-xs text-ink-3">
        {field.help}
        {field.limits && ` (${field.limits})`}
      </p>
    </div>
  )
}

function Control({ field, text, problem, dataFiles, onType }: SpecFieldProps) {
  const id = fieldId(field.key)
  const common = {
    id,
    value: text,
    'aria-invalid': problem ? true : undefined,
    'aria-describedby': problem ? `${id}-problem ${id}-help` : `${id}-help`,
  }
  if (field.kind === 'switch')
    return (
      <Switch id={id} label={field.title} hideLabel checked={text === 'true'} onChange={(on) => onType(String(on))} />
    )
  if (field.kind === 'choice' && field.choices.length <= 4)
    return (
      <Segmented
        id={id}
        label={field.title}
        value={text}
        options={field.choices.map((choice) => ({ value: choice, label: choice }))}
        onChange={onType}
      />
    )
  if (field.kind === 'choice')
    return (
      <select {...common} className="field text-sm" onChange={(event) => onType(event.target.value)}>
        {field.choices.map((choice) => (
          <option key={choice}>{choice}</option>
        ))}
      </select>
    )
  if (field.kind === 'multiline')
    return (
      <textarea
        {...common}
        rows={3}
        className="field font-mono text-sm"
        onChange={(event) => onType(event.target.value)}
      />
    )
  const numeric = field.kind === 'integer' || field.kind === 'number'
  return (
    <div className="relative">
      <input
        {...common}
        type="text"
        inputMode={field.kind === 'integer' ? 'numeric' : numeric ? 'decimal' : undefined}
        autoComplete="off"
        spellCheck={false}
        list={field.kind === 'path' ? `${id}-files` : undefined}
        className={classes('field text-sm', field.kind === 'path' && 'font-mono', field.unit && 'pr-16!')}
        onChange={(event) => onType(event.target.value)}
      />
      {field.unit && (
        <span
          aria-hidden
          className="pointer-events-none absolute inset-y-0 right-3 grid place-items-center text-xs text-ink-3"
        >
          {field.unit}
        </span>
      )}
      {field.kind === 'path' && (
        <datalist id={`${id}-files`}>
          {dataFiles.map((file) => (
            <option key={file.path} value={file.path}>
              {bytes(file.bytes)}, fields {file.fields.join(', ')}
            </option>
          ))}
        </datalist>
      )}
    </div>
  )
}

import { Switch as Base } from '@base-ui/react/switch'

interface SwitchProps {
  readonly id?: string
  readonly label: string
  readonly hideLabel?: boolean
  readonly checked: boolean
  readonly onChange: (checked: boolean) => void
}

export function Switch({ id, label, hideLabel, checked, onChange }: SwitchProps) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the switch inside is the control
    <label className="inline-flex min-h-7 cursor-pointer items-center gap-2 text-sm">
      <Base.Root
        id={id}
        aria-label={label}
        checked={checked}
        onCheckedChange={onChange}
        className="inline-flex h-5 w-9 shrink-0 rounded-full border border-line-strong bg-sunken p-px transition-colors data-checked:border-accent data-checked:bg-accent"
      >
        <Base.Thumb className="size-4 rounded-full bg-line-strong transition-transform data-checked:translate-x-4 data-checked:bg-on-accent" />
      </Base.Root>
      {!hideLabel && <span aria-hidden>{label}</span>}
    </label>
  )
}

import { Search } from 'lucide-react'
import type { Ref } from 'react'
import { classes } from './classes.ts'

interface SearchFieldProps {
  readonly ref?: Ref<HTMLInputElement>
  readonly label: string
  readonly placeholder: string
  readonly value: string
  readonly onChange: (words: string) => void
  readonly onEnter?: (backwards: boolean) => void
  readonly className?: string
}

/** What is looked for. Escape leaves the field; its words stay. */
export function SearchField({ ref, label, placeholder, value, onChange, onEnter, className }: SearchFieldProps) {
  return (
    <div className={classes('relative', className)}>
      <Search aria-hidden size={15} className="absolute top-1/2 left-2.5 -translate-y-1/2 text-ink-3" />
      <input
        ref={ref}
        type="search"
        aria-label={label}
        placeholder={placeholder}
        value={value}
        className="field pl-8! text-sm"
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') onEnter?.(event.shiftKey)
          if (event.key === 'Escape') event.currentTarget.blur()
        }}
      />
    </div>
  )
}

import { ChevronRight } from 'lucide-react'
import type { DataFile } from '../../../api/types.ts'
import { type Base, type Draft, declared, isChanged, shown } from './draft.ts'
import type { Section } from './schema.ts'
import { SpecField } from './spec-field.tsx'

interface SpecFormProps {
  readonly sections: readonly Section[]
  readonly base: Base
  readonly draft: Draft
  readonly problems: ReadonlyMap<string, string>
  readonly dataFiles: readonly DataFile[]
  readonly onlyChanged: boolean
  readonly onType: (key: string, text: string | undefined) => void
}

/** The settings of a run by section; those that few people touch are folded, unless something in them matters now. */
export function SpecForm(props: SpecFormProps) {
  const { sections, base, draft, problems, onlyChanged } = props
  return sections.map((section) => {
    const matters = section.fields.filter((field) => isChanged(base, draft, field) || problems.has(field.key))
    const fields = onlyChanged ? matters : section.fields
    if (fields.length === 0) return null
    return (
      <details
        key={`${section.name} ${onlyChanged} ${problems.size}`}
        open={!section.advanced || onlyChanged || section.fields.some((field) => problems.has(field.key))}
        className="group rounded-xl border border-line bg-panel"
      >
        <summary className="flex min-h-12 items-center gap-2 rounded-xl px-4 text-sm font-semibold hover:bg-hover">
          <ChevronRight aria-hidden size={15} className="text-ink-3 transition-transform group-open:rotate-90" />
          {section.title}
          <span className="text-xs font-normal text-ink-3">
            {matters.length > 0 ? `${matters.length} changed` : `${section.fields.length} as in the preset`}
          </span>
        </summary>
        <div className="grid gap-x-6 gap-y-4 border-t border-line p-4 sm:grid-cols-2 lg:grid-cols-3">
          {fields.map((field) => (
            <SpecField
              key={field.key}
              field={field}
              text={shown(base, draft, field.key)}
              declared={String(declared(base, field.key))}
              changed={isChanged(base, draft, field)}
              problem={problems.get(field.key)}
              dataFiles={props.dataFiles}
              onType={(text) => props.onType(field.key, text)}
              onReset={() => props.onType(field.key, undefined)}
            />
          ))}
        </div>
      </details>
    )
  })
}

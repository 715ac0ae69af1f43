import { ChevronRight } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { Button } from '../../../../ui/button.tsx'
import { classes } from '../../../../ui/classes.ts'
import { count } from '../../../../ui/format.ts'

const CHILDREN_AT_ONCE = 100
const OPEN_DEPTH = 1

interface JsonTreeProps {
  readonly value: unknown
  /** The member to look at, as "$.run.name" or "$.checkpoints[2].step". */
  readonly member?: string
}

/** A document whose objects and lists fold. */
export function JsonTree({ value, member }: JsonTreeProps) {
  return (
    <section
      aria-label="Document"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
      tabIndex={0}
      className="max-h-96 overflow-auto rounded-md border border-line bg-panel px-2 py-1.5 font-mono text-xs leading-6 print:max-h-none"
    >
      <Members value={value} place="$" depth={0} member={member ?? ''} />
    </section>
  )
}

interface NodeProps {
  readonly value: unknown
  readonly place: string
  readonly depth: number
  readonly member: string
}

function Members({ value, place, depth, member }: NodeProps) {
  const entries = entriesOf(value, place)
  const pointed = entries?.findIndex((entry) => leads(entry.place, member)) ?? -1
  const [shown, setShown] = useState(Math.max(CHILDREN_AT_ONCE, pointed + 1))
  if (!entries) return <Value value={value} />
  return (
    <ul>
      {entries.slice(0, shown).map((entry) => (
        <Member
          key={entry.place}
          name={entry.name}
          value={entry.value}
          place={entry.place}
          depth={depth}
          member={member}
        />
      ))}
      {entries.length > shown && (
        <li>
          <Button small look="quiet" onClick={() => setShown(shown + CHILDREN_AT_ONCE)}>
            {count(entries.length - shown)} more
          </Button>
        </li>
      )}
    </ul>
  )
}

function Member({ name, value, place, depth, member }: NodeProps & { readonly name: string }) {
  const folds = entriesOf(value, place)
  const here = place === member
  const line = useRef<HTMLLIElement>(null)
  const [open, setOpen] = useState(depth < OPEN_DEPTH && (folds?.length ?? 0) <= 12)
  useEffect(() => {
    if (leads(place, member)) setOpen(true)
    if (here) line.current?.scrollIntoView({ block: 'center' })
  }, [place, member, here])
  const look = classes('flex min-w-0 items-baseline gap-1.5 rounded px-1', here && 'bg-accent-soft')
  if (!folds?.length)
    return (
      <li ref={line} aria-current={here ? 'true' : undefined} className={classes(look, 'pl-5!')}>
        <span className="shrink-0 text-accent">{name}</span>
        <Value value={value} />
      </li>
    )
  return (
    <li ref={line} aria-current={here ? 'true' : undefined}>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className={classes(look, 'hover:bg-hover')}
      >
        <ChevronRight
          aria-hidden
          size={12}
          className={classes('shrink-0 self-center text-ink-3', open && 'rotate-90')}
        />
        <span className="text-accent">{name}</span>
        <span className="text-ink-3">
          {Array.isArray(value) ? `[${count(folds.length)}]` : `{${count(folds.length)}}`}
        </span>
      </button>
      {open && (
        <div className="ml-2.5 border-l border-line pl-2">
          <Members value={value} place={place} depth={depth + 1} member={member} />
        </div>
      )}
    </li>
  )
}

function Value({ value }: { readonly value: unknown }) {
  const ink = typeof value === 'string' ? 'text-ink' : 'text-good'
  return <span className={classes('min-w-0 wrap-anywhere whitespace-pre-wrap', ink)}>{JSON.stringify(value)}</span>
}

interface Entry {
  readonly name: string
  readonly place: string
  readonly value: unknown
}

/** What an object or a list holds; undefined for anything else. */
function entriesOf(value: unknown, place: string): Entry[] | undefined {
  if (Array.isArray(value))
    return value.map((item, index) => ({ name: String(index), place: `${place}[${index}]`, value: item }))
  if (typeof value !== 'object' || value === null) return undefined
  return Object.entries(value).map(([name, item]) => ({ name, place: `${place}.${name}`, value: item }))
}

/** Whether `member` is at `place` or below it. */
function leads(place: string, member: string): boolean {
  return member.startsWith(place) && /^($|[.[])/.test(member.slice(place.length))
}

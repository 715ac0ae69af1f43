import { useState } from 'react'
import type { Bundle, LogLine } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Panel } from '../../../ui/panel.tsx'
import { Segmented } from '../../../ui/segmented.tsx'
import { placeAnchor } from '../address.ts'
import { eventOf } from './log-line.ts'

const HEX_DIGEST = /^[0-9a-f]{40,}$/

/** The lines of the sealed log that the claims rest on, each with its number in the file and an anchor. */
export function LogExcerpt({ bundle }: { readonly bundle: Bundle }) {
  const [look, setLook] = useState<'read' | 'written'>('read')
  const log = bundle.contents.find((file) => /\.(log|txt)$/.test(file.path) && file.path.includes('log'))
  return (
    <Panel
      title="Log excerpt"
      id="log"
      flush
      aside={
        <div className="no-print flex items-center gap-3">
          <Segmented
            label="How the lines are shown"
            value={look}
            options={[
              { value: 'read', label: 'Fields' },
              { value: 'written', label: 'As written' },
            ]}
            onChange={setLook}
          />
          {log && (
            <a href={placeAnchor({ path: log.path })} className="prose-link inline-flex min-h-6 items-center text-xs">
              whole log
            </a>
          )}
        </div>
      }
    >
      <ol
        aria-label="Lines of the log"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="max-h-[34rem] overflow-auto py-1 font-mono text-xs leading-5 -outline-offset-2 print:max-h-none"
      >
        {bundle.log_excerpt.map((line) => (
          <Line key={line.number} line={line} log={log?.path} written={look === 'written'} />
        ))}
      </ol>
    </Panel>
  )
}

interface LineProps {
  readonly line: LogLine
  readonly log: string | undefined
  readonly written: boolean
}

function Line({ line, log, written }: LineProps) {
  const event = written ? undefined : eventOf(line.text)
  return (
    <li
      id={`L${line.number}`}
      className={classes(
        'grid grid-cols-[3.5rem_1fr] border-b border-line py-1 pr-4 last:border-0 target:bg-accent-soft',
        event?.kind === 'devices' && 'bg-accent-soft/50',
      )}
    >
      <a
        href={log ? placeAnchor({ path: log, line: line.number }) : `#L${line.number}`}
        title="This line in the whole log"
        className="min-h-6 pr-3 text-right text-ink-3 select-none hover:text-accent"
      >
        {line.number}
      </a>
      {event ? (
        <div className="min-w-0">
          <span className="font-sans text-xs font-semibold">{event.kind}</span>{' '}
          {event.fields.map(([name, value]) => (
            <span key={name} className="mr-3 inline-block max-w-full align-top wrap-anywhere">
              <span className="text-ink-3">{name}</span> <Told value={value} />
            </span>
          ))}
        </div>
      ) : (
        <span className="min-w-0 wrap-anywhere whitespace-pre-wrap">{line.text}</span>
      )}
    </li>
  )
}

/** A digest by its beginning: all of it is in the tooltip and in the line as it is written. */
function Told({ value }: { readonly value: string }) {
  return HEX_DIGEST.test(value) ? <span title={value}>{value.slice(0, 12)}…</span> : value
}

import type { Bundle } from '../../api/types.ts'
import { Panel } from '../../ui/panel.tsx'
import { fileAddress } from './address.ts'

/** The lines of the sealed log that the claims rest on, each with its number in the file and an anchor. */
export function LogExcerpt({ bundle }: { readonly bundle: Bundle }) {
  const log = bundle.contents.find((file) => /\.(log|txt)$/.test(file.path) && file.path.includes('log'))
  return (
    <Panel
      title="Log excerpt"
      id="log"
      flush
      aside={
        log && (
          <a href={fileAddress(bundle.name, log.path)} className="prose-link inline-flex min-h-6 items-center text-xs">
            whole log
          </a>
        )
      }
    >
      <ol
        aria-label="Lines of the log"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="max-h-[28rem] overflow-auto py-2 font-mono text-xs leading-6 -outline-offset-2 print:max-h-none"
      >
        {bundle.log_excerpt.map((line) => (
          <li key={line.number} id={`L${line.number}`} className="flex w-max min-w-full pr-4 target:bg-accent-soft">
            <a
              href={`#L${line.number}`}
              className="sticky left-0 min-h-6 w-16 shrink-0 bg-panel pr-3 text-right text-ink-3 select-none hover:text-accent"
            >
              {line.number}
            </a>
            <span className="whitespace-pre">{line.text}</span>
          </li>
        ))}
      </ol>
    </Panel>
  )
}

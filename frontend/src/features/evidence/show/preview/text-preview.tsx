import { useState } from 'react'
import { classes } from '../../../../ui/classes.ts'
import { useBroughtIntoView } from './brought-into-view.ts'
import { Pager } from './pager.tsx'
import type { Lines } from './use-lines.ts'

export const LINES_AT_ONCE = 200

interface TextPreviewProps {
  readonly text: Lines
  readonly page: number
  readonly onPage: (page: number) => void
  /** The line to look at, from 1. */
  readonly line?: number
}

/** Lines with their numbers, as they are written; long ones go on below. */
export function TextPreview({ text, page, onPage, line }: TextPreviewProps) {
  const first = page * LINES_AT_ONCE
  const shown = text.lines.slice(first, first + LINES_AT_ONCE)
  const visible = line !== undefined && line > first && line <= first + shown.length
  const target = useBroughtIntoView<HTMLLIElement>(visible)
  return (
    <div className="grid gap-2">
      <ol
        aria-label="Lines"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="max-h-96 overflow-auto rounded-md border border-line bg-panel py-1.5 font-mono text-xs leading-5 print:max-h-none"
      >
        {shown.map((content, index) => {
          const number = first + index + 1
          return (
            <li
              key={number}
              ref={number === line ? target : undefined}
              aria-current={number === line ? 'true' : undefined}
              className={classes('flex pr-3', number === line && 'bg-accent-soft')}
            >
              <span aria-hidden className="w-14 shrink-0 pr-3 text-right text-ink-3 select-none">
                {number}
              </span>
              <span className="min-w-0 wrap-anywhere whitespace-pre-wrap">{content}</span>
            </li>
          )
        })}
      </ol>
      <Pager
        things="lines"
        page={page}
        size={LINES_AT_ONCE}
        known={text.lines.length}
        complete={text.complete}
        onPage={onPage}
      />
    </div>
  )
}

/** A page of `size` that follows the line that is asked for. */
export function usePage(size: number, line: number | undefined) {
  const wanted = line ? Math.floor((line - 1) / size) : 0
  const [state, setState] = useState({ page: wanted, line })
  const page = state.line === line ? state.page : wanted
  return [page, (next: number) => setState({ page: next, line })] as const
}

import { useMemo } from 'react'
import { classes } from '../../../../ui/classes.ts'
import { useBroughtIntoView } from './brought-into-view.ts'
import { Pager } from './pager.tsx'
import type { Lines } from './use-lines.ts'

export const ROWS_AT_ONCE = 25
const MOST_COLUMNS = 24

interface RowsPreviewProps {
  readonly text: Lines
  readonly page: number
  readonly onPage: (page: number) => void
  readonly line?: number
}

/** A JSON Lines file as a table: a row each line, a column each key. A line that is no object stays as it is. */
export function RowsPreview({ text, page, onPage, line }: RowsPreviewProps) {
  const first = page * ROWS_AT_ONCE
  const rows = useMemo(
    () => text.lines.slice(first, first + ROWS_AT_ONCE).map((content) => ({ content, cells: cellsOf(content) })),
    [text.lines, first],
  )
  const target = useBroughtIntoView<HTMLTableRowElement>(
    line !== undefined && line > first && line <= first + rows.length,
  )
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row.cells ?? {})))].slice(0, MOST_COLUMNS)
  return (
    <div className="grid grid-cols-1 gap-2">
      <section
        aria-label="Rows"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="max-h-96 overflow-auto rounded-md border border-line bg-panel print:max-h-none"
      >
        <table aria-label="Rows of the file" className="w-max min-w-full text-left font-mono text-xs">
          <thead className="sticky top-0 bg-sunken font-sans text-ink-2">
            <tr>
              <th className="px-2 py-1.5 text-right font-medium">line</th>
              {columns.map((column) => (
                <th key={column} className="px-2 py-1.5 font-medium whitespace-nowrap">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ content, cells }, index) => {
              const number = first + index + 1
              return (
                <tr
                  key={number}
                  ref={number === line ? target : undefined}
                  aria-current={number === line ? 'true' : undefined}
                  className={classes('border-t border-line align-top', number === line && 'bg-accent-soft')}
                >
                  <td className="px-2 py-1 text-right text-ink-3 select-none">{number}</td>
                  {cells ? (
                    columns.map((column) => (
                      <td key={column} className="max-w-80 min-w-12 px-2 py-1 wrap-anywhere whitespace-pre-wrap">
                        <Cell value={cells[column] ?? ''} />
                      </td>
                    ))
                  ) : (
                    <td colSpan={columns.length || 1} className="px-2 py-1 wrap-anywhere">
                      {content}
                    </td>
                  )}
                </tr>
              )
            })}
          </tbody>
        </table>
      </section>
      <Pager
        things="rows"
        page={page}
        size={ROWS_AT_ONCE}
        known={text.lines.length}
        complete={text.complete}
        onPage={onPage}
      />
    </div>
  )
}

const HEX_DIGEST = /^[0-9a-f]{40,}$/

/** A digest by its beginning: all of it is in the tooltip and in the line as it is written. */
function Cell({ value }: { readonly value: string }) {
  return HEX_DIGEST.test(value) ? <span title={value}>{value.slice(0, 12)}…</span> : value
}

function cellsOf(line: string): Record<string, string> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, cell(item)]))
  } catch {
    return undefined
  }
}

function cell(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef } from 'react'
import type { Columns } from '../../../chart/columns.ts'
import { count, duration, loss, rate, short } from '../../../ui/format.ts'

const COLUMNS: readonly (readonly [name: string, title: string, format: (value: number) => string])[] = [
  ['step', 'Step', count],
  ['loss', 'Loss', loss],
  ['grad_norm', 'Gradient norm', loss],
  ['learning_rate', 'Learning rate', rate],
  ['tokens', 'Tokens', count],
  ['tokens_per_second', 'Tokens/s', short],
  ['step_seconds', 'Step time', duration],
]

const ROW_HEIGHT = 30

/** Every row as numbers; the newest last. `version` changes when the columns have grown. */
export function StepsTable({ columns }: { readonly columns: Columns; readonly version: number }) {
  const scroller = useRef<HTMLElement>(null)
  const virtual = useVirtualizer({
    count: columns.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 10,
  })
  const items = virtual.getVirtualItems()
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0)
  return (
    <section
      ref={scroller}
      aria-label="Steps as a table"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
      tabIndex={0}
      className="h-[32rem] overflow-auto rounded-xl border border-line bg-panel"
    >
      <table className="w-full text-right text-sm" aria-rowcount={columns.length + 1}>
        <thead className="sticky top-0 bg-panel shadow-[0_1px_0_var(--line)]">
          <tr>
            {COLUMNS.map(([name, title]) => (
              <th key={name} className="px-4 py-2 text-xs font-medium whitespace-nowrap text-ink-3">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <tr aria-hidden style={{ height: items[0]?.start ?? 0 }} />
          {items.map((item) => (
            <tr key={item.index} aria-rowindex={item.index + 2} style={{ height: ROW_HEIGHT }}>
              {COLUMNS.map(([name, , format]) => (
                <td key={name} className="px-4 whitespace-nowrap">
                  {cell(columns.column(name)?.[item.index], format)}
                </td>
              ))}
            </tr>
          ))}
          <tr aria-hidden style={{ height: after }} />
        </tbody>
      </table>
    </section>
  )
}

function cell(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? '–' : format(value)
}

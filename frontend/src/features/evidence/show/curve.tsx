import { useCallback, useMemo, useState } from 'react'
import type { Bundle } from '../../../api/types.ts'
import { tick } from '../../../chart/axes.ts'
import { createColumns } from '../../../chart/columns.ts'
import { createLineChart, type LineChart, type Picture } from '../../../chart/line-chart.ts'
import { outline } from '../../../chart/outline.ts'
import { Button } from '../../../ui/button.tsx'
import { count, loss } from '../../../ui/format.ts'
import { Mounted } from '../../../ui/mounted.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { Switch } from '../../../ui/switch.tsx'
import { placeAnchor } from '../address.ts'
import { usePrinting } from './printing.ts'

/** The loss of every step, as the sealed rows have it. */
export function Curve({ bundle }: { readonly bundle: Bundle }) {
  const [logarithmic, setLogarithmic] = useState(false)
  const [table, setTable] = useState(false)
  const [row, setRow] = useState<number>()
  const picture = useMemo(() => pictureOf(bundle), [bundle])
  const mount = useCallback(
    (element: HTMLElement) =>
      createLineChart(element, {
        height: 280,
        axis: 'step',
        logarithmic,
        group: 'evidence',
        onZoom: () => {},
        onHover: setRow,
      }),
    [logarithmic],
  )
  const printing = usePrinting()
  const values = picture.lines[0]?.values ?? new Float64Array()
  const at = row ?? values.length - 1
  return (
    <Panel
      title="Loss curve"
      id="curve"
      aside={
        <div className="no-print flex items-center gap-3">
          <Switch label="Log scale" checked={logarithmic} onChange={setLogarithmic} />
          <Button small look="quiet" aria-pressed={table} onClick={() => setTable(!table)}>
            {table ? 'Curve' : 'Table'}
          </Button>
          <a
            href={placeAnchor({ path: 'metrics.jsonl' })}
            className="prose-link inline-flex min-h-6 items-center text-xs"
          >
            rows
          </a>
        </div>
      }
    >
      {table ? (
        <Rows picture={picture} />
      ) : printing ? (
        <Drawn picture={picture} />
      ) : (
        <>
          <Mounted
            mount={mount}
            update={(chart: LineChart) => chart.show(picture)}
            label={`Loss over ${count(values.length)} steps, from ${loss(values[0])} to ${loss(values.at(-1))}`}
            className="w-full"
          />
          <p className="mt-1 text-right text-xs text-ink-3">
            step {tick(picture.x[at] ?? 0)}: <span className="font-semibold text-ink">{loss(values[at])}</span>
          </p>
        </>
      )}
    </Panel>
  )
}

function pictureOf(bundle: Bundle): Picture {
  const columns = createColumns()
  columns.append({ step: bundle.curve.step, ...bundle.curve.columns })
  const values = columns.column('loss') ?? new Float64Array()
  return { x: columns.column('step') ?? new Float64Array(), lines: [{ label: 'loss', color: '--accent', values }] }
}

/** The curve on paper: a canvas keeps the colours of the screen. */
function Drawn({ picture }: { readonly picture: Picture }) {
  const values = picture.lines[0]?.values ?? new Float64Array()
  return (
    <figure>
      <svg aria-hidden viewBox="0 0 900 240" className="w-full">
        <path
          d={outline(picture.x, values, { width: 900, height: 240, pad: 4 })}
          fill="none"
          strokeWidth={1.5}
          className="stroke-accent"
        />
      </svg>
      <figcaption className="flex justify-between text-xs">
        <span>
          step {count(picture.x[0])}: {loss(values[0])}
        </span>
        <span>
          step {count(picture.x.at(-1))}: {loss(values.at(-1))}
        </span>
      </figcaption>
    </figure>
  )
}

const ROWS = 40

/** At most forty rows, evenly spread: enough to read the curve without seeing it. */
function Rows({ picture }: { readonly picture: Picture }) {
  const every = Math.max(1, Math.ceil(picture.x.length / ROWS))
  const rows = Array.from(picture.x.keys()).filter((row) => row % every === 0 || row === picture.x.length - 1)
  return (
    <table className="w-full max-w-sm text-right text-sm">
      <thead className="text-xs text-ink-3">
        <tr>
          <th className="py-1 font-medium">Step</th>
          <th className="py-1 font-medium">Loss</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row} className="border-t border-line">
            <td className="py-1">{count(picture.x[row])}</td>
            <td className="py-1">{loss(picture.lines[0]?.values[row])}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

import { useCallback, useMemo, useState } from 'react'
import type { Bundle } from '../../../api/types.ts'
import { tick } from '../../../chart/axes.ts'
import { createLineChart, type LineChart, type Picture } from '../../../chart/line-chart.ts'
import { loss } from '../../../ui/format.ts'
import { Mounted } from '../../../ui/mounted.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { Switch } from '../../../ui/switch.tsx'

const COLORS = ['--part-1', '--part-2'] as const

/** Two losses over the steps of both. */
export function Curves({ a, b }: { readonly a: Bundle; readonly b: Bundle }) {
  const [logarithmic, setLogarithmic] = useState(false)
  const [row, setRow] = useState<number>()
  const picture = useMemo(() => overlaid([a, b]), [a, b])
  const mount = useCallback(
    (element: HTMLElement) =>
      createLineChart(element, {
        height: 260,
        axis: 'step',
        logarithmic,
        group: 'compare',
        onZoom: () => {},
        onHover: setRow,
      }),
    [logarithmic],
  )
  return (
    <Panel
      title="Loss curves"
      id="curves"
      aside={<Switch label="Log scale" checked={logarithmic} onChange={setLogarithmic} />}
    >
      <Mounted
        mount={mount}
        update={(chart: LineChart) => chart.show(picture)}
        label={`Losses of ${a.name}, ending at ${loss(a.final_loss)}, and ${b.name}, ending at ${loss(b.final_loss)}`}
        className="w-full"
      />
      <p className="mt-2 flex flex-wrap justify-between gap-x-6 gap-y-1 text-xs text-ink-2">
        <span>step {tick(picture.x[row ?? picture.x.length - 1] ?? 0)}</span>
        {picture.lines.map((line, index) => (
          <span key={line.color} className="flex min-w-0 items-center gap-1.5">
            <span aria-hidden className="h-0.5 w-4 shrink-0 rounded" style={{ background: `var(${line.color})` }} />
            <span className="min-w-0 wrap-anywhere">{(index === 0 ? a : b).name}</span>
            <span className="font-semibold text-ink">{loss(valueAt(line.values, row))}</span>
          </span>
        ))}
      </p>
    </Panel>
  )
}

/** Both over every step that either has; a step that one has not is a gap in its line. */
export function overlaid(bundles: readonly Bundle[]): Picture {
  const steps = [...new Set(bundles.flatMap((bundle) => bundle.curve.step))].sort((left, right) => left - right)
  const places = new Map(steps.map((step, index) => [step, index]))
  const lines = bundles.map((bundle, index) => {
    const values = new Float64Array(steps.length).fill(Number.NaN)
    for (const [row, step] of bundle.curve.step.entries())
      values[places.get(step) as number] = Number(bundle.curve.columns.loss?.[row] ?? Number.NaN)
    return { label: `${index}`, color: COLORS[index] ?? '--accent', values }
  })
  return { x: Float64Array.from(steps), lines }
}

/** What stands in a row; the last there is where none is pointed at. */
function valueAt(values: Float64Array, row: number | undefined): number | undefined {
  return row === undefined ? values.findLast(Number.isFinite) : values[row]
}

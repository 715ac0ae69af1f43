import { useCallback, useSyncExternalStore } from 'react'
import type { XAxis } from '../../../chart/axes.ts'
import { createLineChart, type LineChart, type Picture } from '../../../chart/line-chart.ts'
import type { Span } from '../../../chart/window.ts'
import { Mounted } from '../../../ui/mounted.tsx'
import type { Hover } from './hover.ts'

interface CurveChartProps {
  readonly title: string
  readonly picture: Picture
  readonly height: number
  readonly axis: XAxis
  readonly logarithmic: boolean
  readonly range?: Span
  readonly span: Span | undefined
  readonly hover: Hover
  readonly onZoom: (span: Span | undefined) => void
  readonly format: (value: number | null) => string
}

/** A chart with its title and the values under the crosshair, or the latest ones. */
export function CurveChart(props: CurveChartProps) {
  const { title, picture, height, axis, logarithmic, range, span, hover, onZoom, format } = props
  const row = useSyncExternalStore(hover.subscribe, hover.row)
  const mount = useCallback(
    (element: HTMLElement) =>
      createLineChart(element, { height, axis, logarithmic, range, group: 'run', onZoom, onHover: hover.set }),
    [height, axis, logarithmic, range, onZoom, hover],
  )
  const update = (chart: LineChart) => {
    chart.show(picture)
    chart.setSpan(span)
  }
  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 flex flex-wrap items-baseline justify-between gap-x-4 text-xs text-ink-2">
        <span className="text-sm font-semibold text-ink">{title}</span>
        <span className="flex flex-wrap gap-x-4">
          {picture.lines.map((line) => (
            <span key={line.label} className="flex items-center gap-1.5">
              <span
                aria-hidden
                className={line.marks ? 'size-2 rounded-full' : 'h-0.5 w-3 rounded'}
                style={{ background: `var(${line.color})` }}
              />
              {picture.lines.length > 1 && line.label}
              <span className="font-semibold text-ink">{format(valueAt(line.values, row))}</span>
            </span>
          ))}
        </span>
      </figcaption>
      <Mounted mount={mount} update={update} label={summary(title, picture, format)} className="w-full rounded" />
    </figure>
  )
}

/** The value in `row`, or the nearest one before it; the latest where no row is pointed at. */
function valueAt(values: Float64Array, row: number | undefined): number | null {
  for (let index = Math.min(row ?? values.length - 1, values.length - 1); index >= 0; index--)
    if (Number.isFinite(values[index])) return values[index] as number
  return null
}

function summary(title: string, picture: Picture, format: (value: number | null) => string): string {
  const values = picture.lines[0]?.values
  if (!values || values.length === 0) return `${title}: no values yet`
  let low = Number.POSITIVE_INFINITY
  for (const value of values) if (value < low) low = value
  const latest = format(valueAt(values, undefined))
  return `${title}: ${values.length} rows, lowest ${format(Number.isFinite(low) ? low : null)}, latest ${latest}. Arrow keys move the crosshair, plus and minus zoom, 0 shows all.`
}

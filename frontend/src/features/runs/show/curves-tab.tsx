import { ChartSpline, Download, Sheet, ZoomIn, ZoomOut } from 'lucide-react'
import { useCallback, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { Evaluation, Run } from '../../../api/types.ts'
import type { XAxis } from '../../../chart/axes.ts'
import { type Columns, createColumns } from '../../../chart/columns.ts'
import { type Span, zoomed } from '../../../chart/window.ts'
import { Button, buttonClass } from '../../../ui/button.tsx'
import { duration, loss, percent, rate, short } from '../../../ui/format.ts'
import { Empty } from '../../../ui/notice.tsx'
import { Segmented } from '../../../ui/segmented.tsx'
import { useShortcuts } from '../../../ui/shortcuts.ts'
import { Switch } from '../../../ui/switch.tsx'
import type { RunSearch } from '../search.ts'
import { isLive } from '../state.tsx'
import { CurveChart } from './curve-chart.tsx'
import { createHover, type Hover } from './hover.ts'
import type { RunFeed } from './run-feed.ts'
import { isTold, lossPicture, matchPicture, place, SMALL_CURVES, smallPicture } from './series.ts'
import { StepsTable } from './steps-table.tsx'

interface CurvesTabProps {
  readonly run: Run
  readonly feed: RunFeed | undefined
  readonly evaluations: readonly Evaluation[]
  readonly search: RunSearch
  readonly onChange: (search: RunSearch) => void
}

const PERCENT: Span = [-4, 104]
const nothing = createColumns()
const noRows = () => () => {}

const FORMAT: Record<string, (value: number | null) => string> = {
  learning_rate: rate,
  tokens_per_second: short,
  step_seconds: duration,
}

export function CurvesTab({ run, feed, evaluations, search, onChange }: CurvesTabProps) {
  const version = useSyncExternalStore(feed?.onRows ?? noRows, () => feed?.version() ?? 0)
  const columns = feed?.columns() ?? nothing
  const axis = search.x ?? 'step'
  const smoothing = search.s ?? 0
  const [hover] = useState(createHover)
  const latest = useRef(onChange)
  latest.current = onChange
  const zoom = useCallback((span: Span | undefined) => latest.current({ xr: span && rounded(span) }), [])
  const pictures = useMemo(
    // `version` stands for the columns' content, which changes in place.
    () => (version >= 0 ? picturesOf(columns, evaluations, axis, smoothing / 100) : undefined),
    [version, columns, evaluations, axis, smoothing],
  )
  const resmooth = (by: number) => onChange({ s: Math.min(99, Math.max(0, smoothing + by)) || undefined })
  useShortcuts({
    l: () => onChange({ y: search.y ? undefined : 'log' }),
    '[': () => resmooth(-10),
    ']': () => resmooth(10),
  })
  if (columns.length === 0 && run.step > 0) return <div aria-hidden className="skeleton h-96 rounded-xl" />
  if (!pictures || columns.length === 0)
    return (
      <Empty title={isLive(run.state) ? 'No step yet' : 'This run did no step'}>
        <p>
          {isLive(run.state)
            ? 'The curve begins with the first step, the moment it is taken.'
            : 'So there is no curve.'}
        </p>
      </Empty>
    )
  const chart = { axis, hover, onZoom: zoom, span: search.xr }
  const buttons = (factor: number) => {
    const x = place(columns, axis)
    const whole: Span = [x[0] ?? 0, x.at(-1) ?? 1]
    zoom(zoomed(whole, search.xr ?? whole, factor))
  }
  return (
    <div className="grid min-w-0 grid-cols-1 gap-4">
      <Toolbar run={run} search={search} onChange={onChange} zoomBy={buttons} />
      {search.table ? (
        <StepsTable columns={columns} version={version} />
      ) : (
        <>
          <div className="min-w-0 rounded-xl border border-line bg-panel p-4">
            <CurveChart
              {...chart}
              title="Loss"
              picture={pictures.loss}
              height={340}
              logarithmic={search.y === 'log'}
              format={loss}
            />
            <Pointed columns={columns} hover={hover} />
          </div>
          <div className="grid min-w-0 grid-cols-1 gap-4 md:grid-cols-2">
            {pictures.match.lines.length > 0 && (
              <div className="min-w-0 rounded-xl border border-line bg-panel p-4 md:col-span-2">
                <CurveChart
                  {...chart}
                  title="Exact match, %"
                  picture={pictures.match}
                  height={150}
                  range={PERCENT}
                  logarithmic={false}
                  format={(value) => percent(value === null ? null : value / 100)}
                />
              </div>
            )}
            {pictures.small.map(({ curve, picture }) => (
              <div key={curve.name} className="min-w-0 rounded-xl border border-line bg-panel p-4">
                <CurveChart
                  {...chart}
                  title={curve.unit && curve.scale ? `${curve.title}, ${curve.unit}` : curve.title}
                  picture={picture}
                  height={170}
                  logarithmic={false}
                  format={FORMAT[curve.name] ?? loss}
                />
              </div>
            ))}
          </div>
        </>
      )}
    </div>
  )
}

function picturesOf(columns: Columns, evaluations: readonly Evaluation[], axis: XAxis, smoothing: number) {
  return {
    loss: lossPicture(columns, evaluations, axis, smoothing),
    match: matchPicture(columns, evaluations, axis),
    small: SMALL_CURVES.filter((curve) => isTold(columns, curve)).map((curve) => ({
      curve,
      picture: smallPicture(columns, curve, axis, smoothing),
    })),
  }
}

/** Numbers of a URL: whole where they are large. */
function rounded([from, to]: Span): Span {
  const digits = to - from > 20 ? 0 : 3
  return [Number(from.toFixed(digits)), Number(to.toFixed(digits))]
}

interface ToolbarProps {
  readonly run: Run
  readonly search: RunSearch
  readonly onChange: (search: RunSearch) => void
  readonly zoomBy: (factor: number) => void
}

function Toolbar({ run, search, onChange, zoomBy }: ToolbarProps) {
  return (
    <div className="no-print flex flex-wrap items-center gap-x-5 gap-y-2 text-sm">
      <Segmented
        label="x axis"
        value={search.x ?? 'step'}
        options={[
          { value: 'step', label: 'Step' },
          { value: 'time', label: 'Time' },
          { value: 'tokens', label: 'Tokens' },
        ]}
        onChange={(x) => onChange({ x: x === 'step' ? undefined : x, xr: undefined })}
      />
      <Switch
        label="Log scale"
        checked={search.y === 'log'}
        onChange={(on) => onChange({ y: on ? 'log' : undefined })}
      />
      <label className="flex items-center gap-2">
        Smoothing
        <input
          type="range"
          min={0}
          max={99}
          value={search.s ?? 0}
          className="w-28 accent-accent"
          onChange={(event) => onChange({ s: Number(event.target.value) || undefined })}
        />
        <output className="w-8 text-xs text-ink-2">{((search.s ?? 0) / 100).toFixed(2)}</output>
      </label>
      <div className="flex gap-1">
        <Button small look="quiet" aria-label="Zoom in" title="Zoom in" onClick={() => zoomBy(0.5)}>
          <ZoomIn aria-hidden size={15} />
        </Button>
        <Button small look="quiet" aria-label="Zoom out" title="Zoom out" onClick={() => zoomBy(2)}>
          <ZoomOut aria-hidden size={15} />
        </Button>
        {search.xr && (
          <Button small onClick={() => onChange({ xr: undefined })}>
            Show all
          </Button>
        )}
      </div>
      <div className="ml-auto flex gap-1">
        <Button
          small
          look="quiet"
          aria-pressed={!!search.table}
          onClick={() => onChange({ table: search.table ? undefined : true })}
        >
          {search.table ? <ChartSpline aria-hidden size={14} /> : <Sheet aria-hidden size={14} />}
          {search.table ? 'Charts' : 'Table'}
        </Button>
        <a className={buttonClass('quiet', true)} href={`/runs/${run.id}/export.csv`} download>
          <Download aria-hidden size={14} /> CSV
        </a>
      </div>
    </div>
  )
}

/** Which step the values above belong to. */
function Pointed({ columns, hover }: { readonly columns: Columns; readonly hover: Hover }) {
  const row = useSyncExternalStore(hover.subscribe, hover.row)
  const step = columns.column('step')?.[row ?? columns.length - 1]
  const epoch = columns.column('epoch')?.[row ?? columns.length - 1]
  return (
    <p className="mt-1 text-right text-xs text-ink-3">
      {row === undefined ? 'latest: ' : ''}step {step}
      {epoch !== undefined && Number.isFinite(epoch) && `, epoch ${epoch.toFixed(2)}`}
      <span className="max-sm:hidden">. Drag to zoom, double-click for all.</span>
    </p>
  )
}

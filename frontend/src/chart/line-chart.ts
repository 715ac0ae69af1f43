/** One canvas with lines over a shared x: a thin life around uPlot, which stays known to this file alone. */

import uPlot from 'uplot'
import { clockTick, tick, type XAxis } from './axes.ts'
import { createFrameLoop } from './frame-loop.ts'
import { zoomed as aboutCenter, inside, panned, type Span } from './window.ts'

/** A series aligned with the chart's x. `color` names a CSS custom property. */
export interface Line {
  readonly label: string
  readonly color: string
  readonly values: Float64Array
  /** Drawn above a faint raw line; the raw values never leave the picture. */
  readonly smoothed?: Float64Array
  /** Few points, drawn as dots joined by a thin line. */
  readonly marks?: boolean
}

export interface Picture {
  readonly x: Float64Array
  readonly lines: readonly Line[]
  /** The x of rows whose value is not a finite number: a red tick each, so that diverged never looks like no data. */
  readonly broken?: readonly number[]
}

export interface ChartOptions {
  readonly height: number
  readonly axis: XAxis
  readonly logarithmic: boolean
  /** The whole y axis, where it is known beforehand; else it follows what is shown. */
  readonly range?: Span
  /** Charts of one group share their crosshair. */
  readonly group: string
  readonly onZoom: (span: Span | undefined) => void
  /** The row under the crosshair, or undefined when it left. */
  readonly onHover: (row: number | undefined) => void
}

export interface LineChart {
  show(picture: Picture): void
  setSpan(span: Span | undefined): void
  zoom(factor: number): void
  destroy(): void
}

/** Steps and tokens are counted: no tick lies between two of them. */
const WHOLE = [1, 2, 5]
  .flatMap((digit) => Array.from({ length: 12 }, (_, power) => digit * 10 ** power))
  .sort((a, b) => a - b)

export function createLineChart(host: HTMLElement, options: ChartOptions): LineChart {
  let picture: Picture = { x: new Float64Array(), lines: [] }
  let span: Span | undefined
  let plot: uPlot | undefined
  let shape = ''
  let moving = false

  const whole = (): Span => [picture.x[0] ?? 0, picture.x.at(-1) ?? 1]
  const current = (): Span => span ?? whole()
  const draw = () => {
    const next = shapeOf(picture)
    if (!plot || next !== shape) {
      plot?.destroy()
      shape = next
      plot = new uPlot(
        uplotOptions(host, options, () => picture, choose, moved),
        dataOf(picture, options),
        host,
      )
    } else {
      plot.setData(dataOf(picture, options), false)
    }
    applySpan()
  }
  const applySpan = () => {
    const [from, to] = current()
    moving = true
    plot?.setScale('x', { min: from, max: to > from ? to : from + 1 })
    moving = false
  }
  const choose = (chosen: Span | undefined) => {
    if (moving) return
    span = chosen && inside(whole(), chosen)
    applySpan()
    options.onZoom(span)
  }
  const moved = (row: number | undefined) => options.onHover(row)
  const loop = createFrameLoop(draw)

  const resize = new ResizeObserver(() => {
    const width = Math.floor(host.clientWidth)
    if (plot && width > 0 && width !== plot.width) plot.setSize({ width, height: options.height })
  })
  resize.observe(host)
  const theme = new MutationObserver(() => plot?.redraw(false, true))
  theme.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] })

  const zoom = (factor: number) => choose(aboutCenter(whole(), current(), factor))
  const press = (event: KeyboardEvent) => {
    const handled = keyboard(event)
    if (handled) event.preventDefault()
  }
  const keyboard = (event: KeyboardEvent): boolean => {
    if (event.key === '+' || event.key === '=') zoom(0.5)
    else if (event.key === '-') zoom(2)
    else if (event.key === '0') choose(undefined)
    else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      const direction = event.key === 'ArrowLeft' ? -1 : 1
      if (event.shiftKey) choose(panned(whole(), current(), direction * 0.25))
      else stepCrosshair(direction)
    } else return false
    return true
  }
  const stepCrosshair = (direction: number) => {
    if (!plot || picture.x.length === 0) return
    const row = plot.cursor.idx
    const next = Math.min(Math.max((row ?? picture.x.length) + direction, 0), picture.x.length - 1)
    plot.setCursor({ left: plot.valToPos(picture.x[next] as number, 'x'), top: plot.bbox.height / 4 })
  }
  host.addEventListener('keydown', press)

  return {
    show(next) {
      picture = next
      loop.request()
    },
    setSpan(next) {
      span = next
      if (plot) applySpan()
    },
    zoom,
    destroy() {
      loop.stop()
      resize.disconnect()
      theme.disconnect()
      host.removeEventListener('keydown', press)
      plot?.destroy()
    },
  }
}

function shapeOf(picture: Picture): string {
  return picture.lines.map((line) => `${line.label} ${line.color} ${!!line.smoothed} ${!!line.marks}`).join()
}

function dataOf(picture: Picture, options: ChartOptions): uPlot.AlignedData {
  const drawable = (values: Float64Array) =>
    Array.from(values, (value) => (Number.isFinite(value) && (!options.logarithmic || value > 0) ? value : null))
  return [
    picture.x,
    ...picture.lines.flatMap((line) =>
      line.smoothed ? [drawable(line.values), drawable(line.smoothed)] : [drawable(line.values)],
    ),
  ]
}

function uplotOptions(
  host: HTMLElement,
  options: ChartOptions,
  picture: () => Picture,
  choose: (span: Span | undefined) => void,
  moved: (row: number | undefined) => void,
): uPlot.Options {
  const css = (name: string) => getComputedStyle(host).getPropertyValue(name).trim() || '#888'
  const font = `11px ${getComputedStyle(host).fontFamily || 'sans-serif'}`
  const axis: uPlot.Axis = {
    stroke: () => css('--ink-3'),
    grid: { stroke: () => css('--line'), width: 1 },
    ticks: { show: false },
    font,
    gap: 6,
  }
  const clock = options.axis === 'time'
  return {
    width: Math.max(120, Math.floor(host.clientWidth)),
    height: options.height,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: options.group, setSeries: false },
      drag: { x: true, y: false, setScale: false, dist: 4 },
      points: { size: 7, width: 1.5 },
      bind: {
        dblclick: () => () => {
          choose(undefined)
          return null
        },
      },
    },
    scales: { x: { time: false }, y: yScale(options) },
    axes: [
      {
        ...axis,
        size: 26,
        space: 64,
        incrs: clock ? undefined : WHOLE,
        values: (_, splits) => splits.map(clock ? clockTick : tick),
      },
      {
        ...axis,
        size: 50,
        space: 34,
        values: (_, splits) => splits.map((value) => (value === null ? '' : tick(value))),
      },
    ],
    series: [{}, ...picture().lines.flatMap((line) => seriesOf(line, css))],
    hooks: {
      setCursor: [(plot) => moved(plot.cursor.idx ?? undefined)],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
          if (width > 4) choose([plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')])
        },
      ],
      draw: [(plot) => annotate(plot, picture(), css)],
    },
  }
}

function seriesOf(line: Line, css: (name: string) => string): uPlot.Series[] {
  const stroke = () => css(line.color)
  if (line.marks)
    return [
      {
        label: line.label,
        stroke,
        width: 1,
        spanGaps: true,
        points: { show: true, size: 7, fill: () => css('--panel') },
      },
    ]
  const raw: uPlot.Series = {
    label: line.label,
    stroke,
    width: line.smoothed ? 1 : 1.6,
    alpha: line.smoothed ? 0.38 : 1,
    points: { show: false },
  }
  return line.smoothed ? [raw, { label: `${line.label}, smoothed`, stroke, width: 2, points: { show: false } }] : [raw]
}

function yScale(options: ChartOptions): uPlot.Scale {
  if (options.range) return { range: [options.range[0], options.range[1]] }
  return options.logarithmic ? { distr: 3 } : { range: padded }
}

function padded(_: uPlot, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1]
  const room = high > low ? (high - low) * 0.06 : Math.abs(high) * 0.1 || 1
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room]
}

/** A red tick on the axis wherever a value is not finite. */
function annotate(plot: uPlot, picture: Picture, css: (name: string) => string): void {
  const { ctx, bbox } = plot
  const ratio = window.devicePixelRatio || 1
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  ctx.strokeStyle = css('--bad')
  ctx.lineWidth = 2 * ratio
  for (const x of picture.broken ?? []) {
    const left = plot.valToPos(x, 'x', true)
    ctx.beginPath()
    ctx.moveTo(left, bbox.top + bbox.height - 10 * ratio)
    ctx.lineTo(left, bbox.top + bbox.height)
    ctx.stroke()
  }
  ctx.restore()
}

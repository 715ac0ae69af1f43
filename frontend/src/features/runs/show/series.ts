/** Which pictures the Curves tab draws, from a run's columns and its evaluations. Pure. */
import type { Evaluation } from '../../../api/types.ts'
import type { XAxis } from '../../../chart/axes.ts'
import { type Columns, rowAtOrBefore } from '../../../chart/columns.ts'
import type { Line, Picture } from '../../../chart/line-chart.ts'
import { smooth } from '../../../chart/smoothing.ts'

export interface Curve {
  readonly name: string
  readonly title: string
  readonly unit: string
  /** What a value is multiplied with to be in that unit. */
  readonly scale?: number
}

export const SMALL_CURVES: readonly Curve[] = [
  { name: 'grad_norm', title: 'Gradient norm', unit: '' },
  { name: 'learning_rate', title: 'Learning rate', unit: '' },
  { name: 'tokens_per_second', title: 'Tokens per second', unit: '' },
  { name: 'step_seconds', title: 'Step time', unit: 's' },
  { name: 'model_flops_utilization', title: 'Model FLOPs utilization', unit: '%', scale: 100 },
  { name: 'device_memory_bytes', title: 'Device memory in use', unit: 'GiB', scale: 2 ** -30 },
  { name: 'device_memory_peak_bytes', title: 'Device memory, peak', unit: 'GiB', scale: 2 ** -30 },
]

/** Whether the run told any value of a curve: what a runtime does not tell has no picture. */
export function isTold(columns: Columns, curve: Curve): boolean {
  return columns.column(curve.name)?.some(Number.isFinite) ?? false
}

const EMPTY = new Float64Array()

/** Where the rows lie on the x axis. */
export function place(columns: Columns, axis: XAxis): Float64Array {
  if (axis === 'tokens') return columns.column('tokens') ?? EMPTY
  const steps = columns.column('step') ?? EMPTY
  if (axis === 'step') return steps
  const seconds = columns.column('step_seconds') ?? EMPTY
  let clock = 0
  return Float64Array.from(steps, (_, row) => {
    if (row > 0) clock += Number.isFinite(seconds[row]) ? (seconds[row] as number) : 0
    return clock
  })
}

export function lossPicture(
  columns: Columns,
  evaluations: readonly Evaluation[],
  axis: XAxis,
  smoothing: number,
): Picture {
  const values = columns.column('loss') ?? EMPTY
  const x = place(columns, axis)
  const lines: Line[] = [line('training loss', '--accent', columns, values, smoothing)]
  const marks = marked(columns, evaluations, (evaluation) => evaluation.loss)
  if (marks) lines.push({ label: 'held-out loss', color: '--warn', values: marks, marks: true })
  return { x, lines, broken: Array.from(x).filter((_, row) => !Number.isFinite(values[row])) }
}

export function matchPicture(columns: Columns, evaluations: readonly Evaluation[], axis: XAxis): Picture {
  const values = marked(columns, evaluations, (evaluation) => evaluation.exact_match * 100)
  const lines = values ? [{ label: 'exact match', color: '--good', values, marks: true }] : []
  return { x: place(columns, axis), lines }
}

export function smallPicture(columns: Columns, curve: Curve, axis: XAxis, smoothing: number): Picture {
  const told = columns.column(curve.name) ?? EMPTY
  const { scale } = curve
  const values = scale ? told.map((value) => value * scale) : told
  return { x: place(columns, axis), lines: [line(curve.title, '--accent', columns, values, smoothing)] }
}

function line(label: string, color: string, columns: Columns, values: Float64Array, smoothing: number): Line {
  if (smoothing <= 0) return { label, color, values }
  return { label, color, values, smoothed: smooth(columns.column('step') ?? EMPTY, values, smoothing) }
}

/** Evaluations laid on the rows: each on the row of its step; one before the first step on the first row. */
function marked(columns: Columns, evaluations: readonly Evaluation[], value: (evaluation: Evaluation) => number) {
  const steps = columns.column('step')
  if (!steps || steps.length === 0 || evaluations.length === 0) return undefined
  const values = new Float64Array(steps.length).fill(Number.NaN)
  for (const evaluation of evaluations) values[Math.max(0, rowAtOrBefore(steps, evaluation.step))] = value(evaluation)
  return values
}

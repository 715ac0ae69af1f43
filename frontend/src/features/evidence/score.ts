/** The held-out result, as the sealed summary has it. */
import { at, numberAt, textAt } from './manifest.ts'

export interface Score {
  readonly name: string
  readonly value: number
  readonly low: number
  readonly high: number
  readonly items: number
  readonly method: string
  readonly evalSet: string
}

/** The first metric; undefined where the model was not evaluated. */
export function scoreOf(summary: unknown): Score | undefined {
  const evaluation = at(summary, 'evaluation')
  const value = numberAt(evaluation, 'metrics.0.value')
  const low = numberAt(evaluation, 'metrics.0.ci95.0')
  const high = numberAt(evaluation, 'metrics.0.ci95.1')
  if (value === undefined || low === undefined || high === undefined) return undefined
  return {
    name: textAt(evaluation, 'metrics.0.name') ?? 'score',
    value,
    low,
    high,
    items: numberAt(evaluation, 'items') ?? 0,
    method: textAt(evaluation, 'metrics.0.ci_method') ?? '',
    evalSet: textAt(evaluation, 'eval_set.sha256') ?? '',
  }
}

/** What differs between two bundles, as rows of equal things beside each other. */
import type { Bundle, CheckResult } from '../../../api/types.ts'
import { count, loss, rate, short } from '../../../ui/format.ts'
import { at, numberAt, textAt } from '../manifest.ts'

export interface Pair {
  readonly term: string
  readonly a: string
  readonly b: string
}

export const NONE = '–'

export function differs(pair: Pair): boolean {
  return pair.a !== pair.b
}

type Read = (bundle: Bundle) => string | undefined

const number =
  (path: string, format: (value: number | undefined) => string = count): Read =>
  ({ manifest }) => {
    const value = numberAt(manifest, path)
    return value === undefined ? undefined : format(value)
  }
const text =
  (path: string, length?: number): Read =>
  ({ manifest }) =>
    textAt(manifest, path)?.slice(0, length)

const FACTS: readonly (readonly [term: string, read: Read])[] = [
  ['Outcome', (bundle) => bundle.outcome ?? undefined],
  ['Hardware', (bundle) => bundle.hardware ?? undefined],
  ['Devices used', number('mesh.devices_used')],
  ['Model', (bundle) => bundle.model ?? undefined],
  ['Parameters', number('model.parameters', short)],
  ['Parameters that were trained', number('model.trainable_parameters', short)],
  ['Initial weights', text('model.initial_parameters_digest', 12)],
  ['Training data', text('data.train.sha256', 12)],
  ['Training rows', number('data.train_rows')],
  ['Steps', ({ steps }) => (steps === null ? undefined : count(steps))],
  ['Tokens', number('training.tokens')],
  ['Peak learning rate', number('training.learning_rate_peak', rate)],
  ['Seed', number('training.seed')],
  ['Final loss', (bundle) => (bundle.final_loss === null ? undefined : loss(bundle.final_loss))],
  ['Program', text('program.sha256', 12)],
  ['Commit', text('source.commit', 12)],
  ['jax', text('software.versions.jax')],
  ['Python', text('software.python')],
  ['Median step, seconds', number('timing.median_step_seconds', loss)],
  ['Tokens per second', number('timing.tokens_per_second')],
  ['Run finished', (bundle) => bundle.finished_at?.slice(0, 19).replace('T', ' ')],
]

/** The facts that at least one of the two tells. */
export function factPairs(a: Bundle, b: Bundle): Pair[] {
  return FACTS.map(([term, read]) => ({ term, a: read(a) ?? NONE, b: read(b) ?? NONE })).filter(
    (pair) => pair.a !== NONE || pair.b !== NONE,
  )
}

/** Two configs by dotted key. */
export function configPairs(a: unknown, b: unknown): Pair[] {
  const [left, right] = [flat(a), flat(b)]
  return [...new Set([...left.keys(), ...right.keys()])]
    .sort()
    .map((term) => ({ term, a: left.get(term) ?? NONE, b: right.get(term) ?? NONE }))
}

function flat(value: unknown, place = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map(place ? [[place, JSON.stringify(value)]] : [])
  return new Map(Object.keys(value).flatMap((name) => [...flat(at(value, name), place ? `${place}.${name}` : name)]))
}

export interface CheckPair {
  readonly id: string
  readonly proves: string
  readonly a: CheckResult | undefined
  readonly b: CheckResult | undefined
}

/** The checks whose results are not the same. */
export function checkPairs(a: Bundle, b: Bundle): CheckPair[] {
  const [left, right] = [byId(a), byId(b)]
  return [...new Set([...left.keys(), ...right.keys()])]
    .map((id) => ({ id, proves: (left.get(id) ?? right.get(id))?.proves ?? '', a: left.get(id), b: right.get(id) }))
    .filter((pair) => pair.a?.result !== pair.b?.result)
}

function byId(bundle: Bundle): Map<string, CheckResult> {
  return new Map(bundle.results.map((result) => [result.id, result]))
}

/** What of the run screens stands in the URL. Unknown and broken parts are dropped. */
import type { XAxis } from '../../chart/axes.ts'
import { STATES, type State } from './state.tsx'

export interface ListSearch {
  readonly q?: string
  readonly state?: State
  readonly archived?: true
}

export function listSearch(raw: Record<string, unknown>): ListSearch {
  return {
    q: text(raw.q),
    state: oneOf(raw.state, Object.keys(STATES) as State[]),
    archived: raw.archived ? true : undefined,
  }
}

export interface NewSearch {
  readonly preset?: string
  readonly from?: string
  readonly preflight?: string
}

export function newSearch(raw: Record<string, unknown>): NewSearch {
  return { preset: text(raw.preset), from: text(raw.from), preflight: text(raw.preflight) }
}

export const RUN_TABS = ['curves', 'checkpoints', 'samples', 'log', 'config', 'system'] as const
export type RunTab = (typeof RUN_TABS)[number]

/** `s`: smoothing in percent; `xr`: the zoomed part of the x axis. */
export interface RunSearch {
  readonly tab?: RunTab
  readonly x?: XAxis
  readonly y?: 'log'
  readonly s?: number
  readonly xr?: readonly [number, number]
  readonly table?: true
}

export function runSearch(raw: Record<string, unknown>): RunSearch {
  const s = Number(raw.s)
  return {
    tab: oneOf(raw.tab, RUN_TABS),
    x: oneOf(raw.x, ['step', 'time', 'tokens'] as const),
    y: raw.y === 'log' ? 'log' : undefined,
    s: Number.isFinite(s) && s > 0 ? Math.min(99, Math.round(s)) : undefined,
    xr: span(raw.xr),
    table: raw.table ? true : undefined,
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) || undefined : undefined
}

function oneOf<Word extends string>(value: unknown, words: readonly Word[]): Word | undefined {
  return words.find((word) => word === value)
}

function span(value: unknown): readonly [number, number] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined
  const [from, to] = value.map(Number)
  return from !== undefined && to !== undefined && to > from ? [from, to] : undefined
}

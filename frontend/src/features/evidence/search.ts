/** What of the evidence screens stands in the URL. Unknown and broken parts are dropped. */
import { LEVELS } from './levels.ts'

export const VERDICTS = ['verified', 'failed', 'unverified'] as const
export const OUTCOMES = ['completed', 'stopped', 'failed'] as const
export const SORTS = ['newest', 'level', 'loss', 'score', 'name'] as const

export type VerdictWord = (typeof VERDICTS)[number]
export type Outcome = (typeof OUTCOMES)[number]
export type Sort = (typeof SORTS)[number]
export type Level = (typeof LEVELS)[number]['level']

/** `level`: at least this one. */
export interface GallerySearch {
  readonly q?: string
  readonly verdict?: VerdictWord
  readonly level?: Level
  readonly outcome?: Outcome
  readonly hardware?: string
  readonly sort?: Sort
}

export function gallerySearch(raw: Record<string, unknown>): GallerySearch {
  const levels = LEVELS.map((item) => item.level)
  return {
    q: text(raw.q),
    verdict: oneOf(raw.verdict, VERDICTS),
    level: oneOf(raw.level, levels),
    outcome: oneOf(raw.outcome, OUTCOMES),
    hardware: text(raw.hardware),
    sort: oneOf(raw.sort, SORTS),
  }
}

/** `all`: what is equal is shown, too. */
export interface CompareSearch {
  readonly a?: string
  readonly b?: string
  readonly all?: true
}

export function compareSearch(raw: Record<string, unknown>): CompareSearch {
  return { a: text(raw.a), b: text(raw.b), all: raw.all ? true : undefined }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) || undefined : undefined
}

function oneOf<Word extends string>(value: unknown, words: readonly Word[]): Word | undefined {
  return words.find((word) => word === value)
}

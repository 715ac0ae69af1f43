/** How a preflight moves on. A compile takes minutes and says little, so the page asks instead of listening. */
import type { PreflightSummary } from './types.ts'

export const ASK_EVERY_MILLISECONDS = 1000

export function isGoingOn(preflight: Pick<PreflightSummary, 'state'>): boolean {
  return preflight.state === 'queued' || preflight.state === 'running'
}

/** When to ask again: soon while something moves, not at all once nothing does. */
export function askAgain(...preflights: readonly (PreflightSummary | undefined)[]): number | false {
  return preflights.some((item) => item && isGoingOn(item)) ? ASK_EVERY_MILLISECONDS : false
}

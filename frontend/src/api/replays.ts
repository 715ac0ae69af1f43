/** How a replay moves on. Its steps take seconds, so the page asks instead of listening. */
import type { ReplayJob } from './types.ts'

export const ASK_EVERY_MILLISECONDS = 1000

export function isReplaying(job: Pick<ReplayJob, 'state'>): boolean {
  return job.state === 'queued' || job.state === 'running'
}

/** What a replay's job and its result look like, and when to ask again. */

export interface ReplayRequest {
  readonly from_step?: number
  readonly to_step?: number
  readonly draw?: string
}

export interface ReplayJob {
  readonly id: string
  readonly bundle: string
  /** SHA-256 of the MANIFEST.sha256 that was replayed: a changed bundle is another one. */
  readonly seal: string
  readonly state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
  readonly progress: { readonly done: number; readonly total: number; readonly doing: string }
  readonly asked_at: string
  readonly message?: string | null
  readonly result?: unknown
}

export interface Replays {
  readonly replays: readonly ReplayJob[]
}

export const ASK_EVERY_MILLISECONDS = 1000

export function isReplaying(job: Pick<ReplayJob, 'state'>): boolean {
  return job.state === 'queued' || job.state === 'running'
}

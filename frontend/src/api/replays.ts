/** What a replay's job and its result look like, and when to ask again. */

export interface ReplayRequest {
  readonly from_step?: number
  readonly to_step?: number
  readonly draw?: string
}

export interface ReplayResult {
  readonly sentence: string
  readonly agrees: boolean
  readonly bit_equal: boolean
  readonly from_step: number
  readonly to_step: number
  readonly chosen: 'drawn' | 'asked'
  readonly nonce: string
  readonly tier: 'T0' | 'T1' | 'T2' | 'T3'
  readonly tier_meaning: string
  readonly tier_because: string
  readonly device: string
  readonly compared: readonly Compared[]
  readonly control_factor: number
  readonly control_noticed: boolean
  readonly samples: Answered
  readonly predictions: Answered
  readonly seconds: number
  readonly made_at: string
}

export interface Compared {
  readonly what: string
  readonly found: number
  readonly cap: number
  readonly where: string
  readonly within: boolean
  readonly control: number
}

export interface Answered {
  readonly items: number
  readonly same: number
  readonly ties: number
  readonly because: string
}

export interface ReplayJob {
  readonly id: string
  readonly bundle: string
  /** SHA-256 of the MANIFEST.sha256 that was replayed: a changed bundle is another one. */
  readonly seal: string
  /** The bundle still has this seal; otherwise the replay says nothing of it. */
  readonly current: boolean
  readonly state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
  readonly message: string
  readonly from_step: number | null
  readonly to_step: number | null
  readonly draw: string
  readonly progress: {
    readonly done: number
    readonly total: number
    readonly doing: string
    readonly time: string
  } | null
  readonly queue_position: number | null
  readonly asked_at: string
  readonly started_at: string | null
  readonly ended_at: string | null
  readonly result: ReplayResult | null
}

export interface ReplayJobs {
  readonly replays: readonly ReplayJob[]
}

export const ASK_EVERY_MILLISECONDS = 1000

export function isReplaying(job: Pick<ReplayJob, 'state'>): boolean {
  return job.state === 'queued' || job.state === 'running'
}

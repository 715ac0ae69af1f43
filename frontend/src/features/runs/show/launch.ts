/** What the recorder wrote down when it started the run. The answer carries it untyped, as it stands in launch.json. */
import type { Run } from '../../../api/types.ts'

export interface Source {
  readonly commit: string
  readonly repository: string
  readonly changed: readonly string[]
}

export function sourceOf(run: Run): Source | undefined {
  const source = record(run.launch?.source)
  if (source?.kind !== 'git' || typeof source.commit !== 'string') return undefined
  const changed = Array.isArray(source.changed_files) ? source.changed_files.map(String) : []
  return { commit: source.commit, repository: typeof source.repository === 'string' ? source.repository : '', changed }
}

export function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

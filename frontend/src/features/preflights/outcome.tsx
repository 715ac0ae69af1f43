import { CircleCheck, CircleDot, CircleStop, CircleX, Clock, type LucideIcon, TriangleAlert } from 'lucide-react'
import type { PreflightSummary } from '../../api/types.ts'
import { Badge, type Tone } from '../../ui/badge.tsx'

interface Look {
  readonly tone: Tone
  readonly icon: LucideIcon
  readonly word: string
}

const STATES: Record<Exclude<PreflightSummary['state'], 'done'>, Look> = {
  queued: { tone: 'neutral', icon: Clock, word: 'Queued' },
  running: { tone: 'accent', icon: CircleDot, word: 'Compiling' },
  failed: { tone: 'warn', icon: TriangleAlert, word: 'Failed' },
  cancelled: { tone: 'neutral', icon: CircleStop, word: 'Cancelled' },
}
const FITS: Look = { tone: 'good', icon: CircleCheck, word: 'Fits' }
const DOES_NOT_FIT: Look = { tone: 'bad', icon: CircleX, word: 'Does not fit' }

/** The answer once there is one; until then, or where there is none, how the preflight stands. */
export function OutcomeBadge({ preflight }: { readonly preflight: PreflightSummary }) {
  const { state, fits, queue_position: place } = preflight
  const { tone, icon, word } = state === 'done' ? (fits ? FITS : DOES_NOT_FIT) : STATES[state]
  return (
    <Badge tone={tone} icon={icon} live={state === 'running'}>
      {word}
      {place !== null && (place === 1 ? ' · next' : ` · place ${place}`)}
    </Badge>
  )
}

/** What is compiled for what: "batch 8 × 512 for v5e-8". */
export function asked(preflight: PreflightSummary): string {
  const extras = [preflight.search && 'plans searched', preflight.largest && 'largest batch'].filter(Boolean)
  const step = `batch ${preflight.batch_size} × ${preflight.sequence_length} for ${preflight.topology}`
  return [step, ...extras].join(', ')
}

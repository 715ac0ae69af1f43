/** What stands beside the verdict: how the run ended, where the bundle came from, who signed it. */
import { CircleSlash, FileDown, PenLine, ShieldAlert, TriangleAlert } from 'lucide-react'
import type { BundleSummary } from '../../api/types.ts'
import { Badge } from '../../ui/badge.tsx'

/** Said only of a run that did not complete: a completed one needs no badge. */
export function OutcomeBadge({ outcome }: { readonly outcome: string | null }) {
  if (outcome === 'failed')
    return (
      <Badge tone="bad" icon={TriangleAlert}>
        The run failed
      </Badge>
    )
  if (outcome === 'stopped')
    return (
      <Badge tone="warn" icon={CircleSlash}>
        The run was stopped
      </Badge>
    )
  return null
}

export function OriginBadge({ origin }: Pick<BundleSummary, 'origin'>) {
  if (origin === 'here') return null
  return (
    <Badge tone="neutral" icon={FileDown}>
      Imported
    </Badge>
  )
}

/** Nothing for an unsigned bundle: that is no fault, and the page says it in its place. */
export function SignatureBadge({ signature }: Pick<BundleSummary, 'signature'>) {
  if (signature.state === 'trusted')
    return (
      <Badge tone="good" icon={PenLine}>
        Signed{signature.signer && ` by ${signature.signer}`}
      </Badge>
    )
  if (signature.state === 'unknown')
    return (
      <Badge tone="warn" icon={PenLine}>
        Unknown signer
      </Badge>
    )
  if (signature.state === 'invalid')
    return (
      <Badge tone="bad" icon={ShieldAlert}>
        Invalid signature
      </Badge>
    )
  return null
}

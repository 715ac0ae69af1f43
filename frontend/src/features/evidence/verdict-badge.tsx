import { CircleX, ShieldCheck, ShieldQuestion } from 'lucide-react'
import type { BundleSummary } from '../../api/types.ts'
import { Badge } from '../../ui/badge.tsx'

/** The verdict as icon and word. A bundle with a failed check is never shown as anything else. */
export function VerdictBadge({ bundle }: { readonly bundle: BundleSummary }) {
  if (!bundle.valid)
    return (
      <Badge tone="bad" icon={CircleX}>
        Verification failed
      </Badge>
    )
  if (!bundle.level)
    return (
      <Badge tone="warn" icon={ShieldQuestion}>
        Not verified
      </Badge>
    )
  return (
    <Badge tone="good" icon={ShieldCheck}>
      Verified · {bundle.level} {bundle.level_meaning}
    </Badge>
  )
}

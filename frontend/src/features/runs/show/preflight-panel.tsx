import { Link } from '@tanstack/react-router'
import { CircleCheck, CircleX } from 'lucide-react'
import type { RunPreflight } from '../../../api/types.ts'
import { type Fact, Facts } from '../../../ui/facts.tsx'
import { bytes, percent, utc } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'

/** What was said before the run, and, where it ran on what that was said for, what came of it. */
export function PreflightPanel({ preflight }: { readonly preflight: RunPreflight }) {
  const { compared } = preflight
  const Icon = preflight.fits ? CircleCheck : CircleX
  const facts: Fact[] = [{ term: 'Said', value: utc(preflight.created_at) }]
  if (compared) {
    const share = compared.difference / compared.foretold_peak
    const more = compared.difference >= 0 ? 'more' : 'less'
    facts.push(
      { term: 'Peak foretold', value: bytes(compared.foretold_peak) },
      { term: 'Compiled here', value: bytes(compared.compiled_peak) },
      {
        term: 'Difference',
        value:
          compared.difference === 0
            ? 'none'
            : `${bytes(Math.abs(compared.difference))} ${more} (${percent(Math.abs(share))})`,
      },
      {
        term: 'Arguments',
        value: `${bytes(compared.foretold_arguments)} foretold, ${bytes(compared.compiled_arguments)} compiled`,
      },
    )
  } else facts.push({ term: 'Not compared', value: preflight.not_compared_because })
  if (preflight.id)
    facts.push({
      term: 'Report',
      value: (
        <Link to="/preflights/$preflightId" params={{ preflightId: preflight.id }} className="prose-link">
          the whole preflight
        </Link>
      ),
    })
  return (
    <Panel title="Preflight">
      <p className="mb-3 flex gap-2 text-sm">
        <Icon aria-hidden size={16} className={`mt-0.5 shrink-0 ${preflight.fits ? 'text-good' : 'text-bad'}`} />
        <span className="min-w-0 wrap-anywhere">{preflight.sentence}</span>
      </p>
      <Facts facts={facts} />
    </Panel>
  )
}

import { useQuery } from '@tanstack/react-query'
import { CircleCheck, CircleX } from 'lucide-react'
import type { Bundle, PreflightReport } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Facts } from '../../../ui/facts.tsx'
import { bytes, count, percent, utc } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'
import { placeAnchor } from '../address.ts'
import { textAt } from '../manifest.ts'
import { documentQuery } from '../queries.ts'

const FILE = 'preflight.json'

/** Whether the bundle says anything of a preflight, be it that there was none. */
export function isPreflightKnown(bundle: Bundle): boolean {
  return (
    bundle.contents.some((item) => item.path === FILE) || textAt(bundle.manifest, 'preflight.because') !== undefined
  )
}

/** What the TPU's compiler said of this very step before it ran; or why nobody had asked it. */
export function PreflightSection({ bundle }: { readonly bundle: Bundle }) {
  const file = bundle.contents.find((item) => item.path === FILE)
  const because = textAt(bundle.manifest, 'preflight.because')
  return (
    <Panel
      title="Preflight"
      id="preflight"
      aside={
        file && (
          <a
            href={placeAnchor({ path: FILE })}
            className="prose-link no-print inline-flex min-h-6 items-center text-xs"
          >
            report
          </a>
        )
      }
    >
      {file ? (
        <Told bundle={bundle.name} sha256={file.sha256} />
      ) : (
        <p className="text-sm text-ink-2">None: {because}.</p>
      )}
    </Panel>
  )
}

function Told({ bundle, sha256 }: { readonly bundle: string; readonly sha256: string }) {
  const report = useQuery(documentQuery<PreflightReport>(bundle, FILE, sha256))
  if (report.isPending) return <div role="status" aria-label="Reading the report" className="skeleton h-24" />
  if (report.error || !Array.isArray(report.data.plans))
    return (
      <p role="alert" className="text-sm text-bad">
        The report cannot be read. {report.error?.message}
      </p>
    )
  const { target, verdict, fits, created_at, plans, chosen, versions } = report.data
  const plan = plans[chosen]
  const peak = plan?.kind === 'fits' ? plan.memory.peak : plan?.kind === 'does_not_fit' ? plan.needed_bytes : undefined
  const limit = plan?.kind === 'fits' ? plan.memory.limit : plan?.kind === 'does_not_fit' ? plan.limit_bytes : undefined
  const Icon = fits ? CircleCheck : CircleX
  return (
    <>
      <p className={classes('mb-3 flex gap-2 text-sm font-medium', fits ? 'text-good' : 'text-bad')}>
        <Icon aria-hidden size={16} className="mt-0.5 shrink-0" />
        <span className="min-w-0 wrap-anywhere">{verdict}</span>
      </p>
      <Facts
        facts={[
          { term: 'Compiled for', value: `${target.name}: ${count(target.devices)} × ${target.device_kind}` },
          {
            term: 'Peak per device',
            value:
              peak === undefined || limit === undefined
                ? 'not said'
                : `${bytes(peak)} of ${bytes(limit)} (${percent(peak / limit)})`,
          },
          { term: 'Plans compiled', value: count(plans.length) },
          {
            term: 'Compiler',
            value: Object.entries(versions)
              .map(([name, version]) => `${name} ${version}`)
              .join(', '),
          },
          { term: 'Made', value: utc(created_at) },
        ]}
      />
    </>
  )
}

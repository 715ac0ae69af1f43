import { Link } from '@tanstack/react-router'
import type { BundleSummary } from '../../../api/types.ts'
import { outline } from '../../../chart/outline.ts'
import { classes } from '../../../ui/classes.ts'
import { bytes, count, loss, percent, short } from '../../../ui/format.ts'
import { Ago } from '../../../ui/time.tsx'
import { OriginBadge, OutcomeBadge, SignatureBadge } from '../badges.tsx'
import { LittleLadder } from '../little-ladder.tsx'
import { VerdictBadge } from '../verdict-badge.tsx'

interface BundleCardProps {
  readonly bundle: BundleSummary
  readonly current: boolean
  readonly picked: boolean
  readonly onPick: (picked: boolean) => void
}

/** A bundle as the gallery shows it: verdict first, numbers second. All of it is a link, but the box to compare it. */
export function BundleCard({ bundle, current, picked, onPick }: BundleCardProps) {
  const failed = bundle.outcome === 'failed'
  return (
    <li
      className={classes(
        'relative grid min-w-0 content-start gap-3 rounded-xl border bg-panel p-5 hover:border-line-strong',
        current || picked ? 'border-accent ring-1 ring-accent' : bundle.valid ? 'border-line' : 'border-bad/50',
      )}
    >
      <div className="flex flex-wrap items-center gap-2">
        <VerdictBadge bundle={bundle} />
        <OutcomeBadge outcome={bundle.outcome} />
        <SignatureBadge signature={bundle.signature} />
        <OriginBadge origin={bundle.origin} />
        <span className="ml-auto flex items-center gap-3 text-xs text-ink-3">
          {bundle.finished_at && <Ago time={bundle.finished_at} />}
          <LittleLadder level={bundle.level} valid={bundle.valid} />
        </span>
      </div>
      <h2 className="min-w-0 text-lg font-semibold wrap-anywhere">
        <Link
          to="/evidence/$name"
          params={{ name: bundle.name }}
          className="after:absolute after:inset-0 after:rounded-xl"
        >
          {bundle.name}
        </Link>
      </h2>
      <p className="font-serif text-[1.02rem] leading-relaxed wrap-anywhere text-ink-2">{bundle.sentence}</p>
      <LittleCurve values={bundle.spark} failed={failed} />
      <dl className="grid grid-cols-2 gap-x-6 gap-y-2 text-sm sm:grid-cols-4">
        {[
          ['Final loss', loss(bundle.final_loss)],
          ['Exact match', percent(bundle.exact_match)],
          ['Steps', count(bundle.steps)],
          ['Parameters', short(bundle.parameters)],
        ].map(([term, value]) => (
          <div key={term}>
            <dt className="text-xs text-ink-3">{term}</dt>
            <dd className="font-semibold">{value}</dd>
          </div>
        ))}
      </dl>
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1 text-xs text-ink-3">
        <p className="min-w-0 wrap-anywhere">
          {[bundle.hardware, `${count(bundle.files)} files`, bytes(bundle.bytes)].filter(Boolean).join(' · ')}
        </p>
        <label className="relative z-10 -my-1 flex min-h-8 cursor-pointer items-center gap-2 rounded px-1.5 text-ink-2 hover:bg-hover">
          <input
            type="checkbox"
            className="size-4 accent-accent"
            checked={picked}
            aria-label={`Compare ${bundle.name}`}
            onChange={(event) => onPick(event.currentTarget.checked)}
          />
          Compare
        </label>
      </div>
    </li>
  )
}

const WIDTH = 600
const HEIGHT = 64

function LittleCurve({ values, failed }: { readonly values: readonly number[]; readonly failed: boolean }) {
  if (values.length < 2) return <p className="grid h-16 items-center text-xs text-ink-3">No loss was logged.</p>
  const steps = values.map((_, index) => index)
  return (
    <svg aria-hidden viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" className="h-16 w-full">
      <path
        d={outline(steps, values, { width: WIDTH, height: HEIGHT, pad: 4 })}
        fill="none"
        strokeWidth={2}
        vectorEffect="non-scaling-stroke"
        strokeLinejoin="round"
        className={failed ? 'stroke-bad' : 'stroke-accent'}
      />
    </svg>
  )
}

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import type { BundleSummary } from '../../api/types.ts'
import { outline } from '../../chart/outline.ts'
import { buttonClass } from '../../ui/button.tsx'
import { classes } from '../../ui/classes.ts'
import { Command } from '../../ui/copy.tsx'
import { bytes, count, loss, percent, short } from '../../ui/format.ts'
import { Empty, Failure } from '../../ui/notice.tsx'
import { PageHead, useTitle } from '../../ui/page.tsx'
import { useShortcuts } from '../../ui/shortcuts.ts'
import { Ago } from '../../ui/time.tsx'
import { bundlesQuery } from './queries.ts'
import { VerdictBadge } from './verdict-badge.tsx'

export function GalleryPage() {
  useTitle('Evidence')
  const bundles = useQuery(bundlesQuery)
  return (
    <div className="grid gap-5">
      <PageHead
        title="Evidence"
        lead="Sealed runs. Each is verified again, from its own files, as this page is asked for."
      />
      {bundles.error && (
        <Failure
          title="The evidence cannot be loaded."
          reason={bundles.error.message}
          retry={() => void bundles.refetch()}
        />
      )}
      {bundles.isPending && (
        <div role="status" aria-label="Verifying the bundles" className="grid gap-4 lg:grid-cols-2">
          <div className="skeleton h-56 rounded-xl" />
          <div className="skeleton h-56 rounded-xl" />
        </div>
      )}
      {bundles.data && (bundles.data.bundles.length === 0 ? <None /> : <Gallery bundles={bundles.data.bundles} />)}
    </div>
  )
}

function None() {
  return (
    <Empty title="No evidence yet">
      <p>
        When a run has ended, seal it: what it left behind becomes a bundle that a stranger can verify without this
        server.
      </p>
      <Link to="/runs" className={buttonClass('primary')}>
        Go to runs
      </Link>
      <p>Or from a shell:</p>
      <div className="w-full max-w-md text-left">
        <Command text="assay seal RUN --name my_run_v1" />
      </div>
    </Empty>
  )
}

function Gallery({ bundles }: { readonly bundles: readonly BundleSummary[] }) {
  const navigate = useNavigate()
  const [row, setRow] = useState(-1)
  useShortcuts({
    j: () => setRow((now) => Math.min(now + 1, bundles.length - 1)),
    k: () => setRow((now) => Math.max(now - 1, 0)),
    Enter: () => {
      const chosen = bundles[row]
      if (chosen) void navigate({ to: '/evidence/$name', params: { name: chosen.name } })
    },
  })
  return (
    <ul className="grid gap-4 lg:grid-cols-2">
      {bundles.map((bundle, index) => (
        <li
          key={bundle.name}
          className={classes(
            'relative grid min-w-0 content-start gap-3 rounded-xl border bg-panel p-5 hover:border-line-strong',
            index === row ? 'border-accent ring-1 ring-accent' : bundle.valid ? 'border-line' : 'border-bad/50',
          )}
        >
          <div className="flex flex-wrap items-center justify-between gap-2">
            <VerdictBadge bundle={bundle} />
            <span className="text-xs text-ink-3">{bundle.sealed_at && <Ago time={bundle.sealed_at} />}</span>
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
          <p className="font-serif text-[1.02rem] leading-relaxed text-ink-2">{bundle.sentence}</p>
          <LittleCurve values={bundle.spark} />
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
          <p className="text-xs wrap-anywhere text-ink-3">
            {[bundle.hardware, `${count(bundle.files)} files`, bytes(bundle.bytes)].filter(Boolean).join(' · ')}
          </p>
        </li>
      ))}
    </ul>
  )
}

const WIDTH = 600
const HEIGHT = 64

function LittleCurve({ values }: { readonly values: readonly number[] }) {
  const steps = values.map((_, index) => index)
  return (
    <svg aria-hidden viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" className="h-16 w-full">
      <path
        d={outline(steps, values, { width: WIDTH, height: HEIGHT, pad: 4 })}
        fill="none"
        strokeWidth={2}
        vectorEffect="non-scaling-stroke"
        strokeLinejoin="round"
        className="stroke-accent"
      />
    </svg>
  )
}

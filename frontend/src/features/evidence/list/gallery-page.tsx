import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { Upload } from 'lucide-react'
import { useMemo, useState } from 'react'
import type { BundleSummary } from '../../../api/types.ts'
import { buttonClass } from '../../../ui/button.tsx'
import { Command } from '../../../ui/copy.tsx'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { PageHead, useTitle } from '../../../ui/page.tsx'
import { useShortcuts } from '../../../ui/shortcuts.ts'
import { bundlesQuery } from '../queries.ts'
import { BundleCard } from './bundle-card.tsx'
import { CompareBar } from './compare-bar.tsx'
import { filtered } from './filter.ts'
import { GalleryFilter } from './gallery-filter.tsx'
import { Import } from './import.tsx'

const route = getRouteApi('/evidence')

export function GalleryPage() {
  useTitle('Evidence')
  const bundles = useQuery(bundlesQuery)
  return (
    <div className="grid grid-cols-1 gap-5">
      <PageHead
        title="Evidence"
        lead="Sealed runs. Each is verified again, from its own files, as this page is asked for."
        actions={
          <a href="#import" className={buttonClass()}>
            <Upload aria-hidden size={15} /> Import
          </a>
        }
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
      {bundles.data && <Import />}
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
  const search = route.useSearch()
  const navigate = useNavigate()
  const shown = useMemo(() => filtered(bundles, search), [bundles, search])
  const [row, setRow] = useState(-1)
  const [picked, setPicked] = useState<readonly string[]>([])
  const pick = (name: string, wanted: boolean) =>
    setPicked((now) =>
      wanted ? [...now.filter((item) => item !== name), name].slice(-2) : now.filter((item) => item !== name),
    )
  useShortcuts({
    j: () => setRow((now) => Math.min(now + 1, shown.length - 1)),
    k: () => setRow((now) => Math.max(now - 1, 0)),
    Enter: () => {
      const chosen = shown[row]
      if (chosen) void navigate({ to: '/evidence/$name', params: { name: chosen.name } })
    },
  })
  return (
    <>
      <GalleryFilter bundles={bundles} shown={shown.length} search={search} />
      {shown.length === 0 ? (
        <Empty title={`0 of ${bundles.length} bundles match.`}>
          <Link to="/evidence" search={{}} className={buttonClass()}>
            Clear the filter
          </Link>
        </Empty>
      ) : (
        <ul className="grid grid-cols-1 gap-4 lg:grid-cols-2">
          {shown.map((bundle, index) => (
            <BundleCard
              key={bundle.name}
              bundle={bundle}
              current={index === row}
              picked={picked.includes(bundle.name)}
              onPick={(wanted) => pick(bundle.name, wanted)}
            />
          ))}
        </ul>
      )}
      <CompareBar picked={picked} onClear={() => setPicked([])} />
    </>
  )
}

import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Download, GitCompareArrows, Printer } from 'lucide-react'
import type { ReactNode } from 'react'
import type { Bundle } from '../../../api/types.ts'
import { Button, buttonClass } from '../../../ui/button.tsx'
import { CopyButton } from '../../../ui/copy.tsx'
import { Failure, Notice } from '../../../ui/notice.tsx'
import { useTitle } from '../../../ui/page.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { bundleQuery } from '../queries.ts'
import { useFollowedAnchor } from './anchor.ts'
import { Checks } from './checks.tsx'
import { Claims } from './claims.tsx'
import { Contents } from './contents.tsx'
import { Curve } from './curve.tsx'
import { DeleteButton } from './delete-dialog.tsx'
import { Files } from './files.tsx'
import { LogExcerpt } from './log-excerpt.tsx'
import { Predictions } from './predictions.tsx'
import { isPreflightKnown, PreflightSection } from './preflight.tsx'
import { ReplaySection } from './replay.tsx'
import { Samples } from './samples.tsx'
import { Signatures } from './signatures.tsx'
import { TakeAway } from './take-away.tsx'
import { Verdict } from './verdict.tsx'

const route = getRouteApi('/evidence/$name')

export function BundlePage() {
  const { name } = route.useParams()
  useTitle(`${name} · evidence`)
  const bundle = useQuery(bundleQuery(name))
  useFollowedAnchor(bundle.data !== undefined)
  return (
    <article className="mx-auto grid max-w-5xl min-w-0 grid-cols-1 gap-5 xl:max-w-7xl">
      <div className="flex flex-wrap items-start justify-between gap-3">
        <div className="min-w-0">
          <p className="text-xs text-ink-3">
            <Link to="/evidence" className="hover:text-ink">
              Evidence
            </Link>
          </p>
          <h1 className="mt-1 text-2xl font-semibold tracking-tight wrap-anywhere">{name}</h1>
        </div>
        {bundle.data && <Actions bundle={bundle.data} />}
      </div>
      {bundle.error && (
        <Failure
          title="This bundle cannot be shown."
          reason={bundle.error.message}
          retry={() => void bundle.refetch()}
        />
      )}
      {bundle.isPending && (
        <div role="status" aria-label="Verifying the bundle" className="grid gap-5">
          <div className="skeleton h-48 rounded-xl" />
          <div className="skeleton h-64 rounded-xl" />
        </div>
      )}
      {bundle.data && <Told bundle={bundle.data} />}
    </article>
  )
}

function Actions({ bundle }: { readonly bundle: Bundle }) {
  return (
    <div className="no-print flex flex-wrap gap-2">
      <CopyButton text={location.href} label="Copy link" />
      {bundle.origin === 'imported' && <DeleteButton name={bundle.name} />}
      <Link to="/evidence/compare" search={{ a: bundle.name }} className={buttonClass()}>
        <GitCompareArrows aria-hidden size={15} /> Compare
      </Link>
      <Button onClick={() => window.print()}>
        <Printer aria-hidden size={15} /> Print
      </Button>
      <a className={buttonClass()} href={`/evidence/${encodeURIComponent(bundle.name)}/archive.zip`} download>
        <Download aria-hidden size={15} /> Download
      </a>
    </div>
  )
}

function Told({ bundle }: { readonly bundle: Bundle }) {
  const parts = partsOf(bundle)
  return (
    <div className="grid grid-cols-1 gap-x-8 gap-y-5 xl:grid-cols-[minmax(0,1fr)_11rem]">
      <div className="grid min-w-0 grid-cols-1 gap-5">
        <Verdict bundle={bundle} />
        {bundle.origin === 'imported' && <Imported bundle={bundle} />}
        {parts.map((part) => (
          <div key={part.anchor} className="contents">
            {part.shown}
          </div>
        ))}
      </div>
      <Contents parts={parts.map(({ anchor, title }) => [anchor, title])} />
    </div>
  )
}

function Imported({ bundle }: { readonly bundle: Bundle }) {
  if (!bundle.valid)
    return (
      <Notice tone="bad" title="Imported; not valid.">
        Somebody brought this bundle here, and its own files contradict what it says. Trust none of it.
      </Notice>
    )
  return (
    <Notice tone="neutral" title="Imported.">
      This bundle was made elsewhere. What stands here was verified from its bytes on this server; who made it is a
      matter of signatures.
    </Notice>
  )
}

interface Part {
  readonly anchor: string
  readonly title: string
  readonly shown: ReactNode
}

/** In the order of a reviewer's questions. Where a check failed, the checks come first. */
function partsOf(bundle: Bundle): Part[] {
  const checks = { anchor: 'checks', title: 'Checks', shown: <Checks bundle={bundle} /> }
  const parts: (Part | false)[] = [
    !bundle.valid && checks,
    bundle.claims.length > 0 && { anchor: 'claims', title: 'Claims', shown: <Claims bundle={bundle} /> },
    bundle.curve.step.length > 1 && { anchor: 'curve', title: 'Loss curve', shown: <Curve bundle={bundle} /> },
    bundle.valid && checks,
    bundle.predictions.length > 0 && { anchor: 'answers', title: 'Answers', shown: <Predictions bundle={bundle} /> },
    bundle.samples.length > 0 && { anchor: 'samples', title: 'Samples', shown: <Samples bundle={bundle} /> },
    { anchor: 'replay', title: 'Replay', shown: <ReplaySection bundle={bundle} /> },
    { anchor: 'signatures', title: 'Signatures', shown: <Signatures bundle={bundle} /> },
    isPreflightKnown(bundle) && {
      anchor: 'preflight',
      title: 'Preflight',
      shown: <PreflightSection bundle={bundle} />,
    },
    bundle.log_excerpt.length > 0 && { anchor: 'log', title: 'Log', shown: <LogExcerpt bundle={bundle} /> },
    { anchor: 'files', title: 'Files', shown: <Files bundle={bundle} /> },
    { anchor: 'verify', title: 'Verify it yourself', shown: <TakeAway bundle={bundle} /> },
    bundle.limits.length > 0 && { anchor: 'limits', title: 'Limits', shown: <Limits bundle={bundle} /> },
  ]
  return parts.filter((part) => part !== false)
}

function Limits({ bundle }: { readonly bundle: Bundle }) {
  return (
    <Panel title="What this cannot show" id="limits">
      <ul className="grid gap-1.5 text-sm text-ink-2">
        {bundle.limits.map((limit) => (
          <li key={limit} className="flex gap-2">
            <span aria-hidden>–</span> {limit}
          </li>
        ))}
      </ul>
    </Panel>
  )
}

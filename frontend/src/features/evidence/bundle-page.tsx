import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Download, Printer } from 'lucide-react'
import { useEffect } from 'react'
import type { Bundle } from '../../api/types.ts'
import { Button, buttonClass } from '../../ui/button.tsx'
import { Command, CopyButton } from '../../ui/copy.tsx'
import { Failure } from '../../ui/notice.tsx'
import { useTitle } from '../../ui/page.tsx'
import { Panel } from '../../ui/panel.tsx'
import { followAnchor } from './anchor.ts'
import { Checks } from './checks.tsx'
import { Claims } from './claims.tsx'
import { Curve } from './curve.tsx'
import { Files } from './files.tsx'
import { LogExcerpt } from './log-excerpt.tsx'
import { Predictions } from './predictions.tsx'
import { bundleQuery } from './queries.ts'
import { Verdict } from './verdict.tsx'

const route = getRouteApi('/evidence/$name')

export function BundlePage() {
  const { name } = route.useParams()
  useTitle(`${name} · evidence`)
  const bundle = useQuery(bundleQuery(name))
  const ready = bundle.data !== undefined
  useEffect(() => {
    if (!ready) return
    followAnchor()
    window.addEventListener('hashchange', followAnchor)
    return () => window.removeEventListener('hashchange', followAnchor)
  }, [ready])
  return (
    <article className="mx-auto grid max-w-5xl min-w-0 grid-cols-1 gap-5">
      <div className="flex flex-wrap items-start justify-between gap-3">
        <div className="min-w-0">
          <p className="text-xs text-ink-3">
            <Link to="/evidence" className="hover:text-ink">
              Evidence
            </Link>
          </p>
          <h1 className="mt-1 text-2xl font-semibold tracking-tight wrap-anywhere">{name}</h1>
        </div>
        <div className="no-print flex flex-wrap gap-2">
          <CopyButton text={location.href} label="Copy link" />
          <Button onClick={() => window.print()}>
            <Printer aria-hidden size={15} /> Print
          </Button>
          <a className={buttonClass()} href={`/evidence/${name}/archive.zip`} download>
            <Download aria-hidden size={15} /> Download
          </a>
        </div>
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

function Told({ bundle }: { readonly bundle: Bundle }) {
  return (
    <>
      <Verdict bundle={bundle} />
      {!bundle.valid && <Checks bundle={bundle} />}
      {bundle.claims.length > 0 && <Claims bundle={bundle} />}
      {bundle.curve.step.length > 1 && <Curve bundle={bundle} />}
      {bundle.valid && <Checks bundle={bundle} />}
      <Predictions bundle={bundle} />
      {bundle.log_excerpt.length > 0 && <LogExcerpt bundle={bundle} />}
      <Files bundle={bundle} />
      <Panel title="Verify without this server" id="verify">
        <p className="mb-3 text-sm text-ink-2">Python 3.11 and the bundle are enough; nothing is installed.</p>
        <div className="grid gap-2">
          {bundle.verify_commands.map((command) => (
            <Command key={command} text={command} />
          ))}
        </div>
      </Panel>
      {bundle.limits.length > 0 && (
        <Panel title="What this cannot show" id="limits">
          <ul className="grid gap-1.5 text-sm text-ink-2">
            {bundle.limits.map((limit) => (
              <li key={limit} className="flex gap-2">
                <span aria-hidden>–</span> {limit}
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </>
  )
}

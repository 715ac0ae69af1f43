import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { ArrowLeftRight } from 'lucide-react'
import { useId } from 'react'
import type { Bundle } from '../../../api/types.ts'
import { Button } from '../../../ui/button.tsx'
import { CopyButton } from '../../../ui/copy.tsx'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { PageHead, useTitle } from '../../../ui/page.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { Switch } from '../../../ui/switch.tsx'
import { OutcomeBadge, SignatureBadge } from '../badges.tsx'
import { LittleLadder } from '../little-ladder.tsx'
import { bundleQuery, bundlesQuery } from '../queries.ts'
import type { CompareSearch } from '../search.ts'
import { VerdictBadge } from '../verdict-badge.tsx'
import { CheckDifferences } from './check-differences.tsx'
import { ConfigDifferences } from './config-differences.tsx'
import { Curves } from './curves.tsx'
import { differs, factPairs } from './differences.ts'
import { Pairs } from './pairs.tsx'
import { Scores } from './scores.tsx'

const route = getRouteApi('/evidence/compare')

/** Two bundles beside each other: what each is worth, and everything in which they differ. */
export function ComparePage() {
  const search = route.useSearch()
  const navigate = useNavigate()
  useTitle('Compare evidence')
  const go = (next: CompareSearch) =>
    void navigate({ to: '/evidence/compare', search: { ...search, ...next }, replace: true })
  return (
    <div className="mx-auto grid max-w-6xl grid-cols-1 gap-5">
      <div>
        <p className="text-xs text-ink-3">
          <Link to="/evidence" className="hover:text-ink">
            Evidence
          </Link>
        </p>
        <PageHead title="Compare" actions={<CopyButton text={location.href} label="Copy link" />} />
      </div>
      <div className="no-print grid items-end gap-3 sm:grid-cols-[1fr_auto_1fr]">
        <Pick label="First bundle" value={search.a} onChange={(a) => go({ a })} />
        <Button aria-label="Swap the two" onClick={() => go({ a: search.b, b: search.a })}>
          <ArrowLeftRight aria-hidden size={15} />
        </Button>
        <Pick label="Second bundle" value={search.b} onChange={(b) => go({ b })} />
      </div>
      {search.a && search.b ? (
        <Loaded a={search.a} b={search.b} all={!!search.all} onAll={(all) => go({ all: all || undefined })} />
      ) : (
        <Empty title="Choose two bundles.">
          <p>What is equal is left out, so that what differs is all there is to read.</p>
        </Empty>
      )}
    </div>
  )
}

interface PickProps {
  readonly label: string
  readonly value: string | undefined
  readonly onChange: (name: string | undefined) => void
}

function Pick({ label, value, onChange }: PickProps) {
  const id = useId()
  const bundles = useQuery(bundlesQuery)
  const names = bundles.data?.bundles.map((bundle) => bundle.name) ?? []
  const known = value && !names.includes(value) ? [value, ...names] : names
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="mb-0.5 block text-xs text-ink-3">
        {label}
      </label>
      <select
        id={id}
        className="field text-sm"
        value={value ?? ''}
        onChange={(event) => onChange(event.currentTarget.value || undefined)}
      >
        <option value="">Choose</option>
        {known.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </div>
  )
}

interface LoadedProps {
  readonly a: string
  readonly b: string
  readonly all: boolean
  readonly onAll: (all: boolean) => void
}

function Loaded({ a, b, all, onAll }: LoadedProps) {
  const first = useQuery(bundleQuery(a))
  const second = useQuery(bundleQuery(b))
  const error = first.error ?? second.error
  if (error)
    return (
      <Failure
        title="These bundles cannot be compared."
        reason={error.message}
        retry={() => void Promise.all([first.refetch(), second.refetch()])}
      />
    )
  if (!first.data || !second.data)
    return (
      <div role="status" aria-label="Verifying both bundles" className="grid gap-5">
        <div className="skeleton h-40 rounded-xl" />
        <div className="skeleton h-64 rounded-xl" />
      </div>
    )
  return <Compared a={first.data} b={second.data} all={all} onAll={onAll} />
}

interface ComparedProps {
  readonly a: Bundle
  readonly b: Bundle
  readonly all: boolean
  readonly onAll: (all: boolean) => void
}

function Compared({ a, b, all, onAll }: ComparedProps) {
  const names = [a.name, b.name] as const
  const facts = factPairs(a, b)
  return (
    <>
      <div className="grid gap-4 md:grid-cols-2">
        <Side bundle={a} />
        <Side bundle={b} />
      </div>
      {a.curve.step.length + b.curve.step.length > 1 && <Curves a={a} b={b} />}
      <Scores a={a} b={b} />
      <div className="no-print flex justify-end">
        <Switch label="Only differences" checked={!all} onChange={(only) => onAll(!only)} />
      </div>
      <Panel title={`Facts, ${facts.filter(differs).length} of ${facts.length} differ`} id="facts" flush>
        <Pairs label="Facts" names={names} pairs={facts} onlyDifferences={!all} />
      </Panel>
      <ConfigDifferences a={a} b={b} onlyDifferences={!all} />
      <CheckDifferences a={a} b={b} />
    </>
  )
}

function Side({ bundle }: { readonly bundle: Bundle }) {
  return (
    <section aria-label={bundle.name} className="grid content-start gap-3 rounded-xl border border-line bg-panel p-5">
      <div className="flex flex-wrap items-center gap-2">
        <VerdictBadge bundle={bundle} />
        <OutcomeBadge outcome={bundle.outcome} />
        <SignatureBadge signature={bundle.signature} />
        <span className="ml-auto">
          <LittleLadder level={bundle.level} valid={bundle.valid} />
        </span>
      </div>
      <h2 className="text-base font-semibold wrap-anywhere">
        <Link to="/evidence/$name" params={{ name: bundle.name }} className="hover:text-accent">
          {bundle.name}
        </Link>
      </h2>
      <p className="font-serif text-[1.02rem] leading-relaxed wrap-anywhere">{bundle.sentence}</p>
    </section>
  )
}

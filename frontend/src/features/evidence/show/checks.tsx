import { ChevronRight } from 'lucide-react'
import { useEffect, useState } from 'react'
import type { Bundle, CheckResult } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Panel } from '../../../ui/panel.tsx'
import { Segmented } from '../../../ui/segmented.tsx'
import { findingPlace, placeAnchor } from '../address.ts'
import { RESULTS } from '../results.ts'
import { useAnchor } from './anchor.ts'
import { usePrinting } from './printing.ts'

const COST: Record<CheckResult['cost'], string> = {
  stdlib: 'bytes alone',
  audit: 'reads arrays',
  replay: 'trains again',
}

/** Every check, by family; a family in which one fails stands open. */
export function Checks({ bundle }: { readonly bundle: Bundle }) {
  const [which, setWhich] = useState<'all' | 'attention'>(bundle.valid ? 'all' : 'attention')
  const anchor = useAnchor()
  const attention = bundle.results.filter((result) => result.result !== 'pass')
  const pointed = (result: CheckResult) => anchor === `#check-${result.id}`
  const printing = usePrinting()
  const shown =
    which === 'all' || printing
      ? bundle.results
      : bundle.results.filter((result) => result.result !== 'pass' || pointed(result))
  const families = Map.groupBy(shown, (result) => result.family)
  return (
    <Panel
      title="Checks"
      id="checks"
      flush
      aside={
        <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
          <Totals results={bundle.results} />
          <span className="no-print">
            <Segmented
              label="Which checks"
              value={which}
              options={[
                { value: 'all', label: `All ${bundle.results.length}` },
                { value: 'attention', label: `Needs attention ${attention.length}` },
              ]}
              onChange={setWhich}
            />
          </span>
        </div>
      }
    >
      {shown.length === 0 && <p className="p-4 text-sm text-ink-2">Every check passes.</p>}
      {[...families].map(([family, results]) => (
        <CheckFamily
          key={family}
          name={family}
          results={results}
          open={which === 'attention' || results.some((result) => result.result === 'fail' || pointed(result))}
        />
      ))}
    </Panel>
  )
}

interface CheckFamilyProps {
  readonly name: string
  readonly results: readonly CheckResult[]
  readonly open: boolean
}

function CheckFamily({ name, results, open }: CheckFamilyProps) {
  const printing = usePrinting()
  const [chosen, setChosen] = useState(open)
  useEffect(() => setChosen((now) => now || open), [open])
  return (
    <details
      open={chosen || printing}
      onToggle={(event) => !printing && setChosen(event.currentTarget.open)}
      className="group border-b border-line last:border-0"
    >
      <summary className="flex min-h-11 flex-wrap items-center gap-x-3 px-4 py-1 text-sm hover:bg-hover">
        <ChevronRight aria-hidden size={15} className="text-ink-3 transition-transform group-open:rotate-90" />
        <span className="font-medium capitalize">{name}</span>
        <span className="ml-auto">
          <Totals results={results} />
        </span>
      </summary>
      <ul className="border-t border-line">
        {results.map((result) => (
          <CheckRow key={result.id} result={result} />
        ))}
      </ul>
    </details>
  )
}

function Totals({ results }: { readonly results: readonly CheckResult[] }) {
  return (
    <span className="flex gap-3 text-xs">
      {(['pass', 'fail', 'warn', 'not-run'] as const).map((kind) => {
        const number = results.filter((result) => result.result === kind).length
        const { icon: Icon, ink, word } = RESULTS[kind]
        return (
          number > 0 && (
            <span key={kind} className={classes('flex items-center gap-1', ink)}>
              <Icon aria-hidden size={13} /> {number} <span className="max-sm:sr-only">{word}</span>
            </span>
          )
        )
      })}
    </span>
  )
}

/** Most checks: nothing is to be said of their cost and severity where there is little room. */
function plain(result: CheckResult): boolean {
  return result.cost === 'stdlib' && result.severity === 'fail'
}

function CheckRow({ result }: { readonly result: CheckResult }) {
  const { icon: Icon, ink, word } = RESULTS[result.result]
  return (
    <li
      id={`check-${result.id}`}
      className="grid grid-cols-[auto_1fr] gap-x-3 border-b border-line px-4 py-2 text-sm last:border-0 target:bg-accent-soft"
    >
      <Icon aria-label={word} size={16} className={classes('mt-1', ink)} />
      <div className="min-w-0">
        <div className="flex flex-wrap items-baseline justify-between gap-x-4">
          <p className="min-w-0 wrap-anywhere">
            <a
              href={`#check-${result.id}`}
              className="mr-2 inline-flex min-h-6 items-center font-mono text-xs text-ink-3 hover:text-accent"
            >
              {result.id} · {result.level}
            </a>
            {result.proves}
          </p>
          <p className={classes('text-2xs text-ink-3', plain(result) && 'max-sm:hidden')}>
            {COST[result.cost]}
            {result.severity === 'warn' && ' · warns only'}
          </p>
        </div>
        {result.reason && <p className={classes('text-xs wrap-anywhere', ink)}>{result.reason}</p>}
        {result.findings.map((finding) => (
          <dl
            key={finding.sentence}
            className={classes(
              'mt-1.5 grid gap-x-3 rounded px-3 py-2 text-xs sm:grid-cols-[5rem_1fr]',
              result.result === 'fail' ? 'bg-bad-soft' : 'bg-warn-soft',
            )}
          >
            <dt className="text-ink-2">In</dt>
            <dd className="min-w-0 break-all">
              <a href={placeAnchor(findingPlace(finding.file, finding.where))} className="prose-link">
                {finding.file}
              </a>
              {finding.where && `, ${finding.where}`}
            </dd>
            <dt className="text-ink-2">Expected</dt>
            <dd className="min-w-0 wrap-anywhere">{finding.expected}</dd>
            <dt className="text-ink-2">Found</dt>
            <dd className="min-w-0 font-semibold wrap-anywhere">{finding.found}</dd>
          </dl>
        ))}
      </div>
    </li>
  )
}

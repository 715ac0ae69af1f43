import { ChevronRight, CircleCheck, CircleMinus, CircleX, TriangleAlert } from 'lucide-react'
import type { Bundle, CheckResult } from '../../api/types.ts'
import { classes } from '../../ui/classes.ts'
import { Panel } from '../../ui/panel.tsx'
import { fileAddress } from './address.ts'

const RESULTS = {
  pass: { icon: CircleCheck, ink: 'text-good', word: 'pass' },
  fail: { icon: CircleX, ink: 'text-bad', word: 'fail' },
  warn: { icon: TriangleAlert, ink: 'text-warn', word: 'warning' },
  'not-run': { icon: CircleMinus, ink: 'text-ink-3', word: 'not run' },
} as const

/** Every check, by family; a family in which one fails stands open. */
export function Checks({ bundle }: { readonly bundle: Bundle }) {
  const families = Map.groupBy(bundle.results, (result) => result.family)
  return (
    <Panel title="Checks" id="checks" aside={<Totals results={bundle.results} />} flush>
      {[...families].map(([family, results]) => (
        <details
          key={family}
          open={results.some((result) => result.result === 'fail')}
          className="group border-b border-line last:border-0"
        >
          <summary className="flex min-h-11 flex-wrap items-center gap-x-3 px-4 py-1 text-sm hover:bg-hover">
            <ChevronRight aria-hidden size={15} className="text-ink-3 transition-transform group-open:rotate-90" />
            <span className="font-medium capitalize">{family}</span>
            <span className="ml-auto">
              <Totals results={results} />
            </span>
          </summary>
          <ul className="border-t border-line">
            {results.map((result) => (
              <CheckRow key={result.id} bundle={bundle.name} result={result} />
            ))}
          </ul>
        </details>
      ))}
    </Panel>
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

function CheckRow({ bundle, result }: { readonly bundle: string; readonly result: CheckResult }) {
  const { icon: Icon, ink, word } = RESULTS[result.result]
  return (
    <li
      id={`check-${result.id}`}
      className="grid grid-cols-[auto_1fr] gap-x-3 border-b border-line px-4 py-2 text-sm last:border-0 target:bg-accent-soft"
    >
      <Icon aria-label={word} size={16} className={classes('mt-0.5', ink)} />
      <div className="min-w-0">
        <p className="wrap-anywhere">
          <a
            href={`#check-${result.id}`}
            className="mr-2 inline-flex min-h-6 items-center font-mono text-xs text-ink-3 hover:text-accent"
          >
            {result.id} · {result.level}
          </a>
          {result.proves}
        </p>
        {result.reason && <p className={classes('text-xs wrap-anywhere', ink)}>{result.reason}</p>}
        {result.findings.map((finding) => (
          <dl
            key={finding.sentence}
            className="mt-1.5 grid gap-x-3 rounded bg-bad-soft px-3 py-2 text-xs sm:grid-cols-[5rem_1fr]"
          >
            <dt className="text-ink-3">In</dt>
            <dd className="min-w-0 break-all">
              <a href={fileAddress(bundle, finding.file)} className="prose-link">
                {finding.file}
              </a>
              {finding.where && `, ${finding.where}`}
            </dd>
            <dt className="text-ink-3">Expected</dt>
            <dd className="min-w-0 break-all">{finding.expected}</dd>
            <dt className="text-ink-3">Found</dt>
            <dd className="min-w-0 font-semibold break-all">{finding.found}</dd>
          </dl>
        ))}
      </div>
    </li>
  )
}

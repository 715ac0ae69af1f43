import { Link } from '@tanstack/react-router'
import { Check } from 'lucide-react'
import type { Bundle } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { bytes, count, utc } from '../../../ui/format.ts'
import { placeAnchor } from '../address.ts'
import { OriginBadge, OutcomeBadge, SignatureBadge } from '../badges.tsx'
import { LEVELS, rungs } from '../levels.ts'
import { at, numberAt, textAt } from '../manifest.ts'
import { VerdictBadge } from '../verdict-badge.tsx'

/** First on the page: what was done, in one sentence, and how far it is proven. */
export function Verdict({ bundle }: { readonly bundle: Bundle }) {
  const passed = bundle.results.filter((result) => result.result === 'pass').length
  const failed = bundle.results.filter((result) => result.result === 'fail')
  const warned = bundle.results.filter((result) => result.result === 'warn').length
  const unrun = bundle.results.filter((result) => result.result === 'not-run').length
  return (
    <section
      aria-label="Verdict"
      className={classes('rounded-xl border bg-panel', bundle.valid ? 'border-line' : 'border-bad')}
    >
      <div className="grid gap-4 p-5 sm:p-7">
        <div className="flex flex-wrap gap-2">
          <VerdictBadge bundle={bundle} />
          <OutcomeBadge outcome={bundle.outcome} />
          <SignatureBadge signature={bundle.signature} />
          <OriginBadge origin={bundle.origin} />
        </div>
        <p className="max-w-3xl font-serif text-xl leading-relaxed text-balance sm:text-2xl sm:leading-relaxed">
          {bundle.sentence}
        </p>
        <p className="text-sm text-ink-2">
          {passed} of {bundle.results.length} checks pass
          {failed.length > 0 && (
            <span className="font-semibold text-bad">
              , {failed.length} {failed.length === 1 ? 'fails' : 'fail'}
            </span>
          )}
          {warned > 0 && `, ${warned} ${warned === 1 ? 'warns' : 'warn'}`}
          {unrun > 0 && `, ${unrun} not run`}
          {' · '}
          {count(bundle.files)} files, {bytes(bundle.bytes)}
          {bundle.finished_at && ` · run finished ${utc(bundle.finished_at)}`}
          {bundle.run_id && (
            <span className="no-print">
              {' · '}
              <Link to="/runs/$runId" params={{ runId: bundle.run_id }} className="prose-link">
                the run
              </Link>
            </span>
          )}
        </p>
        <Ending bundle={bundle} />
        {failed.length > 0 && (
          <ul className="grid gap-1 rounded-lg bg-bad-soft px-4 py-3 text-sm">
            {failed.map((result) => (
              <li key={result.id} className="line-clamp-3 wrap-anywhere print:line-clamp-none">
                <a href={`#check-${result.id}`} className="font-mono text-xs text-bad underline underline-offset-2">
                  {result.id}
                </a>{' '}
                {result.findings[0]?.sentence ?? result.reason}
                {result.findings.length > 1 && ` (and ${result.findings.length - 1} more)`}
              </li>
            ))}
          </ul>
        )}
      </div>
      <Ladder bundle={bundle} />
    </section>
  )
}

/** How a run that did not complete came to its end, in its own words, and where the log says so. */
function Ending({ bundle }: { readonly bundle: Bundle }) {
  const outcome = at(bundle.manifest, 'run.outcome')
  const kind = textAt(outcome, 'kind')
  if (kind === undefined || kind === 'completed') return null
  const line = numberAt(outcome, 'said.line')
  const stage = textAt(outcome, 'stage')
  const said = [textAt(outcome, 'error_type'), textAt(outcome, 'error_message') ?? textAt(outcome, 'because')]
  const log = bundle.contents.find((file) => file.path === 'kaggle_output_log.txt')
  return (
    <div className="rounded-lg bg-warn-soft px-4 py-3 text-sm">
      <p className="font-semibold">
        {kind === 'failed' ? 'The run failed' : 'The run was stopped'}
        {stage && ` while ${stage}`}
      </p>
      <p className="mt-0.5 wrap-anywhere whitespace-pre-wrap">
        {said.filter(Boolean).join(': ') || 'It says no more.'}
      </p>
      {line !== undefined && log && (
        <a href={placeAnchor({ path: log.path, line })} className="prose-link mt-1 inline-flex min-h-6 items-center">
          line {count(line)} of the log
        </a>
      )}
    </div>
  )
}

function Ladder({ bundle }: { readonly bundle: Bundle }) {
  const reached = rungs(bundle.level)
  return (
    <div className="border-t border-line px-5 py-4 sm:px-7">
      <ol aria-label="Levels of proof" className="grid gap-x-3 gap-y-2 sm:grid-cols-3 lg:grid-cols-6">
        {LEVELS.map((rung, index) => {
          const held = index < reached
          return (
            <li
              key={rung.level}
              aria-current={index === reached - 1 ? 'step' : undefined}
              className={classes(
                'border-l-4 py-0.5 pl-3 sm:border-t-4 sm:border-l-0 sm:pt-2 sm:pl-0',
                held ? 'border-good' : 'border-line',
              )}
            >
              <p className={classes('flex items-center gap-1 text-sm font-semibold', !held && 'text-ink-3')}>
                {held && <Check aria-label="reached" size={14} className="text-good" />}
                {rung.level} {rung.title}
              </p>
              <p className="text-xs leading-snug text-ink-3">{rung.meaning}</p>
            </li>
          )
        })}
      </ol>
      {bundle.gaps.length > 0 && (
        <div className="mt-4 text-sm">
          <p className="font-medium">What keeps it from the next level</p>
          <ul className="mt-1 grid gap-1 text-ink-2">
            {bundle.gaps.map((gap) => (
              <li key={gap} className="flex gap-2 wrap-anywhere">
                <span aria-hidden>–</span>
                <span className="min-w-0">{gap}</span>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  )
}

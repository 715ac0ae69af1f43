import { CircleCheck, CircleHelp, CircleX } from 'lucide-react'
import type { Bundle, CheckResult, Claim } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Panel } from '../../../ui/panel.tsx'
import { type FilePlace, placeAnchor } from '../address.ts'
import { RESULTS } from '../results.ts'

const VERDICTS: Record<string, { icon: typeof CircleCheck; ink: string }> = {
  holds: { icon: CircleCheck, ink: 'text-good' },
  fails: { icon: CircleX, ink: 'text-bad' },
  unproven: { icon: CircleHelp, ink: 'text-warn' },
}

/** Where in the manifest a claim stands, for the claims that stand there. */
const MEMBER: Record<string, string> = { hardware: '$.hardware', model: '$.model', outcome: '$.run.outcome' }

/** What the bundle says of itself, and for each saying how it was computed again and where the proof lies. */
export function Claims({ bundle }: { readonly bundle: Bundle }) {
  const results = new Map(bundle.results.map((result) => [result.id, result]))
  const paths = new Set(bundle.contents.map((file) => file.path))
  return (
    <Panel title="Claims" id="claims" flush>
      <ul>
        {bundle.claims.map((claim) => (
          <li
            key={claim.id}
            id={`claim-${claim.id}`}
            className="grid gap-x-6 gap-y-1 border-b border-line px-4 py-3 text-sm last:border-0 target:bg-accent-soft sm:grid-cols-[9rem_1fr_15rem]"
          >
            <p className="flex items-center justify-between gap-2 sm:block">
              <a
                href={`#claim-${claim.id}`}
                className="inline-flex min-h-6 items-center font-semibold hover:text-accent"
              >
                {claim.title}
              </a>
              <ClaimVerdict claim={claim} />
            </p>
            <div className="min-w-0">
              <p className="wrap-anywhere">{claim.said}</p>
              <p className="mt-0.5 text-xs wrap-anywhere text-ink-3">Checked: {claim.recomputed}</p>
              {claim.unproven_because && (
                <p className="mt-0.5 text-xs wrap-anywhere text-warn">Unproven: {claim.unproven_because}</p>
              )}
            </div>
            <div className="min-w-0 text-xs text-ink-3">
              {claim.proofs.map((proof) => (
                <div key={proof.file}>
                  {paths.has(proof.file) ? (
                    <a
                      href={placeAnchor(proofPlace(claim, proof.file))}
                      className="prose-link inline-flex min-h-6 items-center break-all"
                    >
                      {proof.file}
                    </a>
                  ) : (
                    <span className="inline-flex min-h-6 items-center break-all">{proof.file}, which is not there</span>
                  )}
                  <span className="flex flex-wrap gap-x-2">
                    {proof.checks.map((check) => (
                      <CheckLink key={check} id={check} result={results.get(check)} />
                    ))}
                  </span>
                </div>
              ))}
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  )
}

function proofPlace(claim: Claim, path: string): FilePlace {
  return path === 'run_manifest.json' ? { path, member: MEMBER[claim.id] } : { path }
}

/** A check's id; one that does not pass says so beside it. */
function CheckLink({ id, result }: { readonly id: string; readonly result: CheckResult | undefined }) {
  if (!result) return <span className="inline-flex min-h-6 items-center font-mono text-2xs">{id}</span>
  const { icon: Icon, ink, word } = RESULTS[result.result]
  return (
    <a
      href={`#check-${id}`}
      title={`${word}: ${result.proves}`}
      className={classes(
        'inline-flex min-h-6 items-center gap-0.5 font-mono text-2xs hover:text-accent',
        result.result !== 'pass' && ink,
      )}
    >
      {result.result !== 'pass' && <Icon aria-label={word} size={11} />}
      {id}
    </a>
  )
}

function ClaimVerdict({ claim }: { readonly claim: Claim }) {
  const { icon: Icon, ink } = VERDICTS[claim.verdict] ?? { icon: CircleHelp, ink: 'text-warn' }
  return (
    <span className={classes('flex items-center gap-1 text-sm font-medium sm:mt-0.5', ink)}>
      <Icon aria-hidden size={15} /> {claim.verdict}
    </span>
  )
}

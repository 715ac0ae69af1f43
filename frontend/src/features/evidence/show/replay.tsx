import { useQuery } from '@tanstack/react-query'
import { isReplaying } from '../../../api/replays.ts'
import type { Bundle, ReplayJob } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Command } from '../../../ui/copy.tsx'
import { Notice } from '../../../ui/notice.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { placeAnchor } from '../address.ts'
import { replaysQuery } from '../queries.ts'
import { RESULTS } from '../results.ts'
import { AskReplay, ReplayGoingOn } from './replay-job.tsx'
import { ReplayNumbers } from './replay-numbers.tsx'

const STORED = 'replay/result.json'

/** Whether a segment was executed again: here, by somebody else, or not at all; and how to do it. */
export function ReplaySection({ bundle }: { readonly bundle: Bundle }) {
  const replays = useQuery(replaysQuery(bundle.name))
  const jobs = replays.data?.replays ?? []
  const going = jobs.find(isReplaying)
  const [latest] = jobs
  const made = jobs.find((job) => job.current && job.result)?.result
  const checks = bundle.results.filter((result) => result.id.startsWith('RPL-') && result.result !== 'not-run')
  const trained = bundle.curve.step.length > 0
  return (
    <Panel title="Replay" id="replay">
      <div className="grid grid-cols-1 gap-4">
        {made ? (
          <p className="text-sm text-ink-2">Made on this server, from the sealed state, data and config.</p>
        ) : (
          <NotMade bundle={bundle} />
        )}
        {made && <ReplayNumbers replay={made} />}
        {checks.length > 0 && <ReplayChecks checks={checks} />}
        {!going && latest && <Ended job={latest} />}
        {going ? (
          <ReplayGoingOn job={going} bundle={bundle.name} />
        ) : (
          trained && <AskReplay bundle={bundle} again={!!made} refused={replays.error} />
        )}
        {trained && (
          <div className="max-w-xl">
            <Command text={`assay replay ${bundle.name}`} />
          </div>
        )}
      </div>
    </Panel>
  )
}

/** A result that came with the bundle is a claim like any other, unless somebody trusted has signed it. */
function NotMade({ bundle }: { readonly bundle: Bundle }) {
  const stored = bundle.contents.some((file) => file.path === STORED)
  const vouched = bundle.signature.statements.find((item) => item.state === 'trusted' && item.says.includes(STORED))
  const link = (
    <a href={placeAnchor({ path: STORED })} className="prose-link">
      {STORED}
    </a>
  )
  if (stored)
    return vouched ? (
      <Notice tone="neutral" title={`Recorded, and signed by ${vouched.signer}.`}>
        {link} came with the bundle. It counts, since that key is trusted here; only one made here leaves nothing to
        trust.
      </Notice>
    ) : (
      <Notice tone="warn" title="Recorded by nobody you know.">
        {link} came with the bundle. It counts for nothing until it is made again here.
      </Notice>
    )
  return (
    <p className="max-w-3xl text-sm text-ink-2">
      {bundle.curve.step.length > 0
        ? 'Nothing of this run was executed again. A replay starts at a sealed state, trains some of the same steps with the sealed data and config, and compares every loss and the weights it ends with; a control with a slightly wrong learning rate must be told apart. Rows that nobody trained would not survive it.'
        : 'This run has no steps that could be executed again.'}
    </p>
  )
}

function ReplayChecks({ checks }: { readonly checks: Bundle['results'] }) {
  return (
    <ul aria-label="What the replay shows" className="grid gap-1 text-sm">
      {checks.map((check) => {
        const { icon: Icon, ink, word } = RESULTS[check.result]
        return (
          <li key={check.id} className="flex gap-2">
            <Icon aria-label={word} size={16} className={classes('mt-1 shrink-0', ink)} />
            <span className="min-w-0 wrap-anywhere">
              <a
                href={`#check-${check.id}`}
                className="mr-2 inline-flex min-h-6 items-center font-mono text-xs text-ink-3 hover:text-accent"
              >
                {check.id}
              </a>
              {check.findings[0]?.sentence ?? check.proves}
            </span>
          </li>
        )
      })}
    </ul>
  )
}

/** The newest one, where it brought no result. */
function Ended({ job }: { readonly job: ReplayJob }) {
  if (job.state === 'failed')
    return (
      <Notice tone="bad" title="The last replay came to no result.">
        <p className="first-letter:uppercase">{job.message || 'It does not say why.'}</p>
      </Notice>
    )
  return job.state === 'cancelled' ? <p className="text-sm text-ink-2">The last replay was cancelled.</p> : null
}

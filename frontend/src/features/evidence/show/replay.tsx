import { useQuery } from '@tanstack/react-query'
import type { ReplayJob } from '../../../api/replays.ts'
import { isReplaying } from '../../../api/replays.ts'
import type { Bundle } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Command } from '../../../ui/copy.tsx'
import { utc } from '../../../ui/format.ts'
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
  const made = jobs.find((job) => job.state === 'done' && job.result)
  const stored = bundle.contents.some((file) => file.path === STORED)
  const checks = bundle.results.filter((result) => result.id.startsWith('RPL-') && result.result !== 'not-run')
  const trainable = bundle.outcome !== 'failed' || bundle.curve.step.length > 0
  return (
    <Panel title="Replay" id="replay">
      <div className="grid grid-cols-1 gap-4">
        {made ? (
          <p className="text-sm">
            Made on this server, asked for {utc(made.asked_at)}, from the sealed checkpoint, code, data and config.
          </p>
        ) : stored ? (
          <Recorded bundle={bundle} />
        ) : (
          <p className="max-w-3xl text-sm text-ink-2">
            Nothing of this run was executed again. A replay starts at a sealed checkpoint, trains some of the same
            steps with the sealed code, data and config, and compares every loss and the weights it ends with; a run
            with a slightly wrong learning rate must be told apart. Rows that nobody trained would not survive it.
          </p>
        )}
        {checks.length > 0 && <ReplayChecks checks={checks} />}
        {made && <ReplayNumbers result={made.result} />}
        {!going && latest && <Ended job={latest} />}
        {going ? (
          <ReplayGoingOn job={going} bundle={bundle.name} />
        ) : (
          trainable && <AskReplay bundle={bundle} again={made !== undefined} refused={replays.error} />
        )}
        <div className="max-w-xl">
          <Command text={`assay replay ${bundle.name}`} />
        </div>
      </div>
    </Panel>
  )
}

/** A result that came with the bundle is a claim like any other, unless somebody trusted has signed it. */
function Recorded({ bundle }: { readonly bundle: Bundle }) {
  const statement = bundle.signature.statements.find(
    (item) => item.says.includes(STORED) || item.file.includes('replay'),
  )
  const by = statement?.state === 'trusted' ? statement.signer : ''
  return (
    <Notice
      tone={by ? 'neutral' : 'warn'}
      title={by ? `Recorded, and signed by ${by}.` : 'Recorded by nobody you know.'}
    >
      The bundle brings{' '}
      <a href={placeAnchor({ path: STORED })} className="prose-link">
        a replay’s result
      </a>{' '}
      along. {by ? 'It counts, since that key is trusted here.' : 'It counts for nothing until it is made again here.'}
    </Notice>
  )
}

function ReplayChecks({ checks }: { readonly checks: Bundle['results'] }) {
  return (
    <ul aria-label="What the replay shows" className="grid gap-1 text-sm">
      {checks.map((check) => {
        const { icon: Icon, ink, word } = RESULTS[check.result]
        return (
          <li key={check.id} className="flex gap-2">
            <Icon aria-label={word} size={16} className={classes('mt-0.5 shrink-0', ink)} />
            <span className="min-w-0 wrap-anywhere">
              <a href={`#check-${check.id}`} className="mr-2 font-mono text-xs text-ink-3 hover:text-accent">
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

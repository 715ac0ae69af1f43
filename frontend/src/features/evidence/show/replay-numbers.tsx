import { CircleCheck, CircleX } from 'lucide-react'
import type { Answered, ReplayResult } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Facts } from '../../../ui/facts.tsx'
import { count, duration, utc } from '../../../ui/format.ts'

/** What a replay measured beside what the verifier allows, and whether its test could have failed. */
export function ReplayNumbers({ replay }: { readonly replay: ReplayResult }) {
  const factor = `every learning rate × ${replay.control_factor}`
  return (
    <div className="grid grid-cols-1 gap-4">
      <p className={classes('font-serif text-lg leading-relaxed', !replay.agrees && 'text-bad')}>{replay.sentence}</p>
      <Comparisons replay={replay} />
      <ul className="grid gap-1.5 text-sm">
        <Said
          good={replay.control_noticed}
          text={
            replay.control_noticed
              ? `A control with ${factor} is told apart, as it must be.`
              : `A control with ${factor} is not told apart: this replay proves nothing.`
          }
        />
        <Regenerated what="Samples" answers={replay.samples} />
        <Regenerated what="Held-out answers" answers={replay.predictions} />
      </ul>
      <Facts
        facts={[
          { term: 'Segment', value: `steps ${count(replay.from_step + 1)} to ${count(replay.to_step)}` },
          {
            term: 'Chosen',
            value:
              replay.chosen === 'drawn'
                ? `drawn by the seal and the words “${replay.nonce}”`
                : 'named by whoever asked, so it may be the one that was prepared',
          },
          { term: `Tier ${replay.tier}`, value: `${replay.tier_meaning}. ${replay.tier_because}` },
          { term: 'Machine', value: replay.device },
          { term: 'Made', value: `${utc(replay.made_at)}, in ${duration(replay.seconds)}` },
        ]}
      />
    </div>
  )
}

interface RegeneratedProps {
  readonly what: string
  readonly answers: Answered
}

/** Answers that the sealed weights gave again, token by token. */
function Regenerated({ what, answers: { items, same, ties, because } }: RegeneratedProps) {
  if (items === 0) return <Said good={false} text={`${what} were not generated again${because && `: ${because}`}`} />
  const near = ties > 0 ? `, and ${count(ties)} but for a tie that rounding decides` : ''
  return (
    <Said good={same + ties === items} text={`${what}: ${count(same)} of ${count(items)} came out the same${near}`} />
  )
}

const HEAD = 'px-3 py-1.5 text-xs font-medium text-ink-3'
const NUMBER = 'px-3 py-1.5 text-right font-mono text-xs whitespace-nowrap'

/** The largest relative differences, beside the most that is allowed and what the control gave. */
function Comparisons({ replay }: { readonly replay: ReplayResult }) {
  return (
    <section
      aria-label="What the replay compared"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
      tabIndex={0}
      className="overflow-x-auto rounded-md border border-line"
    >
      <table aria-label="Comparisons" className="w-full text-sm">
        <thead>
          <tr className="border-b border-line bg-sunken text-left">
            <th className={HEAD}>Relative difference of</th>
            <th className={classes(HEAD, 'text-right')}>Found</th>
            <th className={classes(HEAD, 'text-right')}>Allowed</th>
            <th className={classes(HEAD, 'text-right')}>Control</th>
            <th className={classes(HEAD, 'max-sm:hidden')}>Largest at</th>
          </tr>
        </thead>
        <tbody>
          {replay.compared.map(({ what, found, cap, where, within, control }) => (
            <tr key={what} className={classes('border-b border-line last:border-0', !within && 'bg-bad-soft')}>
              <td className="px-3 py-1.5">
                <span className={classes('flex items-center gap-2', !within && 'font-semibold text-bad')}>
                  {within ? (
                    <CircleCheck aria-label="within" size={14} className="shrink-0 text-good" />
                  ) : (
                    <CircleX aria-label="beyond" size={14} className="shrink-0" />
                  )}
                  {what}
                </span>
              </td>
              <td className={NUMBER}>{share(found)}</td>
              <td className={NUMBER}>{share(cap)}</td>
              <td className={classes(NUMBER, 'text-ink-3')}>{share(control)}</td>
              <td className="px-3 py-1.5 text-xs text-ink-3 max-sm:hidden">{where}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

/** A small share: 0 is exactly 0. */
function share(value: number): string {
  return value === 0 ? '0' : value >= 0.1 ? String(Number(value.toPrecision(2))) : value.toExponential(1)
}

function Said({ good, text }: { readonly good: boolean; readonly text: string }) {
  const Icon = good ? CircleCheck : CircleX
  return (
    <li className="flex gap-2">
      <Icon aria-hidden size={16} className={classes('mt-0.5 shrink-0', good ? 'text-good' : 'text-bad')} />
      <span className="min-w-0 wrap-anywhere first-letter:uppercase">{text}</span>
    </li>
  )
}

import { CircleCheck, CircleX } from 'lucide-react'
import type { Replayed } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { Facts } from '../../../ui/facts.tsx'
import { count, duration, utc } from '../../../ui/format.ts'

/** What a replay measured beside what the verifier allows, and whether its test could have failed. */
export function ReplayNumbers({ replay }: { readonly replay: Replayed }) {
  return (
    <div className="grid grid-cols-1 gap-4">
      <Compared replay={replay} />
      <ul className="grid gap-1.5 text-sm">
        <Said
          good={replay.control_noticed}
          text={
            replay.control_noticed
              ? `A control with every learning rate × ${replay.control_factor} is told apart, as it must be.`
              : `A control with every learning rate × ${replay.control_factor} is not told apart: this replay proves nothing.`
          }
        />
        {replay.regenerated.map(({ what, same, total, because }) => (
          <Said
            key={what}
            good={because === '' && same === total}
            text={
              because ? `${what}: not generated again, ${because}` : `${what}: ${same} of ${total} came out the same`
            }
          />
        ))}
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
          { term: 'Machine', value: replay.machine },
          {
            term: 'Code',
            value: replay.own_source ? 'the bundle’s own source' : 'installed here, compared with the bundle’s',
          },
          { term: 'Made', value: `${utc(replay.made_at)}, in ${duration(replay.seconds)}` },
        ]}
      />
    </div>
  )
}

const HEAD = 'px-3 py-1.5 text-xs font-medium text-ink-3'
const NUMBER = 'px-3 py-1.5 text-right font-mono text-xs whitespace-nowrap'

function Compared({ replay }: { readonly replay: Replayed }) {
  return (
    <div>
      <p className="mb-2 text-sm font-medium">
        {replay.bit_equal
          ? 'Every number and every weight came out the same, to the bit.'
          : 'The largest relative differences, beside the most that is allowed:'}
      </p>
      <section
        aria-label="What the replay compared"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="overflow-x-auto rounded-md border border-line"
      >
        <table aria-label="Comparisons" className="w-full text-sm">
          <thead>
            <tr className="border-b border-line bg-sunken text-left">
              <th className={HEAD}>Statistic</th>
              <th className={classes(HEAD, 'text-right')}>Found</th>
              <th className={classes(HEAD, 'text-right')}>Allowed</th>
              <th className={HEAD}>Largest at</th>
            </tr>
          </thead>
          <tbody>
            {replay.comparisons.map(({ what, found, cap, where, within }) => (
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
                <td className="px-3 py-1.5 text-xs text-ink-3">{where}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  )
}

/** A small share: 0 is exactly 0. */
function share(value: number): string {
  return value === 0 ? '0' : value.toExponential(1)
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

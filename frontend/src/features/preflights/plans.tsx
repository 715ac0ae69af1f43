import { Check } from 'lucide-react'
import type { DoesNotFit, Fits, PreflightReport, Refused } from '../../api/types.ts'
import { classes } from '../../ui/classes.ts'
import { Panel } from '../../ui/panel.tsx'
import { partsOf } from './memory.tsx'
import { MemoryBar } from './memory-bar.tsx'
import { bytes, planWords, seconds } from './numbers.ts'

const HEAD = 'px-3 py-2 text-left text-xs font-medium text-ink-3 whitespace-nowrap first:pl-4 last:pr-4'
const CELL = 'px-3 py-2.5 first:pl-4 last:pr-4 align-top'

/** Every plan that was tried, in order, the one to use marked. */
export function Plans({ report }: { readonly report: PreflightReport }) {
  const tried = report.plans.length
  return (
    <Panel title={tried === 1 ? 'Plan' : `Plans tried: ${tried}`} id="plans" flush>
      <section
        aria-label="Plans"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="overflow-x-auto -outline-offset-2"
      >
        <table className="w-full text-sm">
          <thead>
            <tr className="border-b border-line">
              <th className={HEAD}>Plan</th>
              <th className={HEAD}>Batch</th>
              <th className={HEAD}>Outcome</th>
              <th className={`${HEAD} w-2/5`}>Memory of one device</th>
              <th className={`${HEAD} text-right!`}>Step, estimate</th>
            </tr>
          </thead>
          <tbody>
            {report.plans.map((plan, index) => (
              <PlanRow
                // biome-ignore lint/suspicious/noArrayIndexKey: plans are told in the order they were tried, for good
                key={index}
                plan={plan}
                chosen={index === report.chosen}
                alone={tried === 1}
              />
            ))}
          </tbody>
        </table>
      </section>
    </Panel>
  )
}

interface PlanRowProps {
  readonly plan: Fits | DoesNotFit | Refused
  readonly chosen: boolean
  readonly alone: boolean
}

function PlanRow({ plan, chosen, alone }: PlanRowProps) {
  const [first, ...rest] = planWords(plan.plan)
  return (
    <tr
      aria-current={chosen && !alone ? 'true' : undefined}
      className={classes('border-b border-line last:border-0', chosen && !alone && 'bg-accent-soft')}
    >
      <td className={`${CELL} min-w-44`}>
        <span className="font-medium">{first}</span>
        {rest.length > 0 && <span className="text-ink-2">, {rest.join(', ')}</span>}
        {chosen && !alone && (
          <span className="mt-0.5 flex items-center gap-1 text-xs font-medium text-accent">
            <Check aria-hidden size={13} /> chosen
          </span>
        )}
      </td>
      <td className={`${CELL} whitespace-nowrap`}>
        {plan.batch_size}
        {plan.gradient_accumulation > 1 && (
          <span className="block text-xs text-ink-3">in {plan.gradient_accumulation} parts</span>
        )}
      </td>
      <td className={CELL}>
        {plan.kind === 'fits' && <span className="text-good">fits</span>}
        {plan.kind === 'does_not_fit' && <span className="whitespace-nowrap text-bad">does not fit</span>}
        {plan.kind === 'refused' && <span className="text-ink-2">refused</span>}
      </td>
      {plan.kind === 'refused' ? (
        <td colSpan={2} className={`${CELL} min-w-64 text-xs wrap-anywhere text-ink-2`}>
          {plan.message}
        </td>
      ) : (
        <>
          <td className={`${CELL} min-w-56`}>
            <Held plan={plan} />
          </td>
          <td className={`${CELL} text-right whitespace-nowrap`}>{plan.kind === 'fits' ? stepOf(plan) : '–'}</td>
        </>
      )}
    </tr>
  )
}

function Held({ plan }: { readonly plan: Fits | DoesNotFit }) {
  const held = plan.kind === 'fits' ? plan.memory.peak : plan.needed_bytes
  const limit = plan.kind === 'fits' ? plan.memory.limit : plan.limit_bytes
  if (held === 0) return <span className="text-xs text-ink-3">the compiler did not say how much</span>
  const said = `${bytes(held)} of ${bytes(limit)}`
  return (
    <div className="flex items-center gap-3">
      <div className="min-w-24 grow">
        <MemoryBar thin parts={partsOf(plan)} limit={limit} label={said} />
      </div>
      <span aria-hidden className="w-20 text-right whitespace-nowrap">
        {bytes(held)}
      </span>
    </div>
  )
}

function stepOf(plan: Fits): string {
  const { estimate } = plan
  if (estimate.kind !== 'estimated') return '–'
  return `${seconds(estimate.step_seconds_at_least)} to ${seconds(estimate.step_seconds_at_most)}`
}

import type { Estimate, Fits, PreflightReport } from '../../api/types.ts'
import { Badge } from '../../ui/badge.tsx'
import { percent } from '../../ui/format.ts'
import { Panel } from '../../ui/panel.tsx'
import { flops, seconds } from './numbers.ts'

interface StepTimeProps {
  readonly report: PreflightReport
  readonly attempt: Fits
}

/** Between what and what a step takes. Nothing was executed: an interval, with its method, and never a speed. */
export function StepTime({ report, attempt }: StepTimeProps) {
  const { estimate } = attempt
  return (
    <Panel title="Step time" id="step" aside={<Badge tone="warn">Estimate, not measured</Badge>}>
      {estimate.kind === 'estimated' ? (
        <Interval report={report} attempt={attempt} estimate={estimate} />
      ) : (
        <p className="text-sm text-ink-2">Not estimated: {estimate.because}</p>
      )}
    </Panel>
  )
}

function Interval({ report, attempt, estimate }: StepTimeProps & { readonly estimate: Estimate }) {
  const { compute_seconds: compute, communication_seconds: communication } = estimate
  const { step_seconds_at_least: low, step_seconds_at_most: high } = estimate
  const rows = [
    { name: 'Compute', from: 0, to: compute, fill: 'bg-part-1', method: report.compute_method },
    { name: 'Communication', from: 0, to: communication, fill: 'bg-part-2', method: report.communication_method },
    { name: 'Step', from: low, to: high, fill: 'bg-ink', method: report.interval_method },
  ]
  return (
    <>
      <p className="text-2xl font-semibold tracking-tight">
        {low === high ? seconds(low) : `${seconds(low)} to ${seconds(high)}`}
      </p>
      <p className="mt-1 text-sm text-ink-2">
        {flops(attempt.model_flops_per_step)} a step by the model's formula; model FLOPs utilization at most{' '}
        {percent(estimate.model_flops_utilization_at_most)}.
      </p>
      <dl className="mt-5 grid gap-4">
        {rows.map(({ name, from, to, fill, method }) => (
          <div key={name} className="grid gap-x-6 gap-y-1 sm:grid-cols-[9rem_1fr]">
            <dt className="flex justify-between gap-2 text-sm sm:block">
              <span className="font-medium">{name}</span>
              <span className="text-ink-2 sm:block">
                {from > 0 && from < to ? `${seconds(from)} to ${seconds(to)}` : seconds(to)}
              </span>
            </dt>
            <dd className="min-w-0">
              <div aria-hidden className="relative mt-1 h-3 rounded bg-sunken">
                <div
                  className={`absolute inset-y-0 min-w-0.5 rounded ${fill}`}
                  style={{ left: `${(100 * from) / (high || 1)}%`, width: `${(100 * (to - from)) / (high || 1)}%` }}
                />
              </div>
              <p className="mt-1.5 text-xs text-ink-3">{method}</p>
            </dd>
          </div>
        ))}
      </dl>
    </>
  )
}

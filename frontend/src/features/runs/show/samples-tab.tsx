import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { Evaluation, Run } from '../../../api/types.ts'
import { Answers } from '../../../ui/answers.tsx'
import { Button } from '../../../ui/button.tsx'
import { count, duration, loss, percent } from '../../../ui/format.ts'
import { Empty, Failure } from '../../../ui/notice.tsx'
import { Panel } from '../../../ui/panel.tsx'
import { Segmented } from '../../../ui/segmented.tsx'
import { predictionsQuery, samplesQuery } from '../queries.ts'

interface SamplesTabProps {
  readonly run: Run
  readonly evaluations: readonly Evaluation[]
}

export function SamplesTab({ run, evaluations }: SamplesTabProps) {
  const [chosen, setChosen] = useState<number>()
  const step = chosen ?? evaluations.at(-1)?.step
  if (step === undefined)
    return (
      <Empty title="No evaluation yet">
        <p>At each evaluation the model answers held-out questions; here they are, right and wrong.</p>
      </Empty>
    )
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[22rem_1fr]">
      <Panel title="Evaluations" flush>
        <table className="w-full text-right text-sm">
          <thead className="text-xs text-ink-3 [&_th]:px-4 [&_th]:py-2 [&_th]:font-medium">
            <tr>
              <th>Step</th>
              <th>Exact match</th>
              <th>Loss</th>
              <th>Took</th>
            </tr>
          </thead>
          <tbody className="[&_td]:border-t [&_td]:border-line [&_td]:px-4 [&_td]:py-1.5">
            {evaluations.map((item) => (
              <tr key={item.step} className={item.step === step ? 'bg-accent-soft' : undefined}>
                <td>
                  <button
                    type="button"
                    aria-pressed={item.step === step}
                    className="prose-link min-h-6 min-w-6"
                    onClick={() => setChosen(item.step)}
                  >
                    {count(item.step)}
                  </button>
                </td>
                <td className="font-medium whitespace-nowrap" title={`${item.correct} of ${item.items}`}>
                  {percent(item.exact_match)}
                </td>
                <td>{loss(item.loss)}</td>
                <td className="whitespace-nowrap">{duration(item.seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Panel>
      <At run={run} step={step} />
    </div>
  )
}

const SHOWN_AT_ONCE = 12

function At({ run, step }: { readonly run: Run; readonly step: number }) {
  const [which, setWhich] = useState<'all' | 'wrong' | 'right'>('all')
  const [shown, setShown] = useState(SHOWN_AT_ONCE)
  const predictions = useQuery(predictionsQuery(run.id, step))
  const samples = useQuery(samplesQuery(run.id))
  if (predictions.error) return <Failure title="The answers cannot be loaded." reason={predictions.error.message} />
  if (!predictions.data) return <div className="skeleton h-64 rounded-xl" />
  const all =
    predictions.data.predictions.length > 0
      ? predictions.data.predictions.map((item) => ({ ...item, key: String(item.id) }))
      : (samples.data?.samples ?? [])
          .filter((item) => item.step === step)
          .map((item, index) => ({ ...item, key: String(index), correct: undefined }))
  const wanted = all.filter((item) => which === 'all' || item.correct === (which === 'right'))
  return (
    <Panel
      title={`Answers at step ${count(step)}`}
      aside={
        <Segmented
          label="Which answers"
          value={which}
          options={[
            { value: 'all', label: `All ${all.length}` },
            { value: 'wrong', label: `Wrong ${all.filter((item) => item.correct === false).length}` },
            { value: 'right', label: `Right ${all.filter((item) => item.correct).length}` },
          ]}
          onChange={setWhich}
        />
      }
    >
      {wanted.length === 0 ? (
        <p className="text-sm text-ink-2">None of these.</p>
      ) : (
        <Answers answers={wanted.slice(0, shown)} />
      )}
      {wanted.length > shown && (
        <Button className="mt-3" onClick={() => setShown(shown + 50)}>
          Show {Math.min(50, wanted.length - shown)} more
        </Button>
      )}
    </Panel>
  )
}

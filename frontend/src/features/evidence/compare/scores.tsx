import { CircleCheck, TriangleAlert } from 'lucide-react'
import type { Bundle } from '../../../api/types.ts'
import { count, percent } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'
import { type Score, scoreOf } from '../score.ts'

/** Two held-out results on one scale, with their intervals, and whether they may be compared at all. */
export function Scores({ a, b }: { readonly a: Bundle; readonly b: Bundle }) {
  const scores = [scoreOf(a.eval_summary), scoreOf(b.eval_summary)] as const
  return (
    <Panel title="Held-out result" id="scores">
      <div className="grid grid-cols-1 gap-4">
        {[a, b].map((bundle, index) => (
          <Line
            key={index === 0 ? 'a' : 'b'}
            name={bundle.name}
            score={scores[index]}
            fill={index === 0 ? 'bg-part-1' : 'bg-part-2'}
          />
        ))}
        <Judgement a={scores[0]} b={scores[1]} />
      </div>
    </Panel>
  )
}

interface LineProps {
  readonly name: string
  readonly score: Score | undefined
  readonly fill: string
}

function Line({ name, score, fill }: LineProps) {
  if (!score)
    return (
      <p className="text-sm">
        <span className="font-medium wrap-anywhere">{name}</span> <span className="text-ink-3">was not evaluated.</span>
      </p>
    )
  return (
    <div>
      <p className="flex flex-wrap justify-between gap-x-4 text-sm">
        <span className="min-w-0 font-medium wrap-anywhere">{name}</span>
        <span>
          <span className="font-semibold">{percent(score.value)}</span>{' '}
          <span className="text-ink-3">
            95 % interval {percent(score.low)} to {percent(score.high)}, {count(score.items)} items
          </span>
        </span>
      </p>
      <div aria-hidden className="relative mt-1.5 h-3 rounded bg-sunken">
        <span
          className={`absolute inset-y-0.5 rounded opacity-40 ${fill}`}
          style={{ left: `${score.low * 100}%`, width: `${Math.max(0.4, (score.high - score.low) * 100)}%` }}
        />
        <span
          className={`absolute inset-y-0 w-0.5 ${fill}`}
          style={{ left: `min(${score.value * 100}%, 100% - 2px)` }}
        />
      </div>
    </div>
  )
}

/** Only equal questions give comparable scores, and only intervals that lie apart show a difference. */
function Judgement({ a, b }: { readonly a: Score | undefined; readonly b: Score | undefined }) {
  if (!a || !b) return null
  if (a.evalSet !== b.evalSet)
    return (
      <p className="flex gap-2 text-sm text-warn">
        <TriangleAlert aria-hidden size={16} className="mt-0.5 shrink-0" />
        They answered different questions (the evaluation sets’ digests differ): these scores cannot be compared.
      </p>
    )
  const apart = a.low > b.high || b.low > a.high
  return (
    <p className="flex gap-2 text-sm text-ink-2">
      <CircleCheck aria-hidden size={16} className="mt-0.5 shrink-0 text-good" />
      Both answered the same {count(a.items)} questions (equal digest).{' '}
      {apart ? 'The intervals lie apart.' : 'The intervals overlap: the difference may be chance.'}
    </p>
  )
}

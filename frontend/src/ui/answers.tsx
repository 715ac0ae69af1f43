import { Check, X } from 'lucide-react'

export interface Answer {
  readonly key: string
  readonly prompt: string
  readonly expected: string
  readonly text: string
  /** Absent where nobody has scored it. */
  readonly correct?: boolean
}

/** What a model was asked, what it should have said, and what it said. */
export function Answers({ answers }: { readonly answers: readonly Answer[] }) {
  return (
    <ul className="grid gap-3">
      {answers.map((answer) => (
        <li key={answer.key} className="min-w-0 overflow-hidden rounded-lg border border-line bg-panel">
          <div className="flex items-start gap-2 border-b border-line px-3 py-2">
            {answer.correct !== undefined &&
              (answer.correct ? (
                <Check aria-label="right" size={16} className="mt-0.5 shrink-0 text-good" />
              ) : (
                <X aria-label="wrong" size={16} className="mt-0.5 shrink-0 text-bad" />
              ))}
            <p className="min-w-0 text-sm font-medium wrap-anywhere whitespace-pre-wrap">{answer.prompt}</p>
          </div>
          <dl className="grid gap-px bg-line sm:grid-cols-2">
            <Said term="Expected" text={answer.expected} />
            <Said term="The model said" text={answer.text} />
          </dl>
        </li>
      ))}
    </ul>
  )
}

function Said({ term, text }: { readonly term: string; readonly text: string }) {
  return (
    <div className="min-w-0 bg-panel px-3 py-2">
      <dt className="text-xs text-ink-3">{term}</dt>
      <dd className="font-mono text-xs leading-5 wrap-anywhere whitespace-pre-wrap">{text.trim() || '(nothing)'}</dd>
    </div>
  )
}

import { Check, X } from 'lucide-react'
import { useState } from 'react'
import type { Bundle, Prediction } from '../../../api/types.ts'
import { classes } from '../../../ui/classes.ts'
import { count } from '../../../ui/format.ts'
import { Panel } from '../../../ui/panel.tsx'
import { SearchField } from '../../../ui/search-field.tsx'
import { Segmented } from '../../../ui/segmented.tsx'
import { placeAnchor } from '../address.ts'
import { Pager } from './preview/pager.tsx'

const AT_ONCE = 12
const FILE = 'eval/predictions.jsonl'

/** What the trained model answered to held-out questions; the wrong ones are one click away. */
export function Predictions({ bundle }: { readonly bundle: Bundle }) {
  const [which, setWhich] = useState<'all' | 'wrong'>('all')
  const [words, setWords] = useState('')
  const [page, setPage] = useState(0)
  const lines = new Map(bundle.predictions.map((item, index) => [item, index + 1]))
  const wrong = bundle.predictions.filter((item) => !item.correct)
  const found = (which === 'wrong' ? wrong : bundle.predictions).filter((item) => says(item, words))
  const from = (change: () => void) => {
    change()
    setPage(0)
  }
  return (
    <Panel
      title="Held-out answers"
      id="answers"
      flush
      aside={
        <span className="no-print">
          <Segmented
            label="Which answers"
            value={which}
            options={[
              { value: 'all', label: `All ${count(bundle.predictions.length)}` },
              { value: 'wrong', label: `Wrong ${count(wrong.length)}` },
            ]}
            onChange={(next) => from(() => setWhich(next))}
          />
        </span>
      }
    >
      <div className="no-print border-b border-line px-4 py-2">
        <SearchField
          label="Search the answers"
          placeholder="Question, expected or given answer"
          value={words}
          onChange={(next) => from(() => setWords(next))}
          className="max-w-sm"
        />
      </div>
      {found.length === 0 ? (
        <p className="px-4 py-3 text-sm text-ink-2">
          {words ? 'No answer has these words.' : 'Every answer is right.'}
        </p>
      ) : (
        <Table items={found.slice(page * AT_ONCE, (page + 1) * AT_ONCE)} lineOf={(item) => lines.get(item) ?? 1} />
      )}
      <div className="px-4 py-2 empty:hidden">
        <Pager things="answers" page={page} size={AT_ONCE} known={found.length} complete onPage={setPage} />
      </div>
      <p className="print-only px-4 py-2 text-xs">
        {count(found.length)} answers in all: {FILE}
      </p>
    </Panel>
  )
}

function says(item: Prediction, words: string): boolean {
  const wanted = words.trim().toLowerCase()
  return [item.prompt, item.expected, item.text].some((text) => text.toLowerCase().includes(wanted))
}

const HEAD = 'px-3 py-1.5 text-left text-xs font-medium text-ink-3'
const CELL = 'px-3 py-1.5 align-top font-mono text-xs leading-5 wrap-anywhere whitespace-pre-wrap'

interface TableProps {
  readonly items: readonly Prediction[]
  readonly lineOf: (item: Prediction) => number
}

function Table({ items, lineOf }: TableProps) {
  return (
    <table aria-label="Answers" className="w-full table-fixed text-sm max-sm:block">
      <thead className="max-sm:sr-only">
        <tr className="border-b border-line">
          <th className={classes(HEAD, 'w-20')}>Right?</th>
          <th className={HEAD}>Question</th>
          <th className={HEAD}>Expected</th>
          <th className={HEAD}>The model said</th>
        </tr>
      </thead>
      <tbody className="max-sm:block">
        {items.map((item) => (
          <tr key={String(item.id)} className="border-b border-line last:border-0 max-sm:grid max-sm:grid-cols-2">
            <td className="px-3 py-1.5 align-top">
              <a
                href={placeAnchor({ path: FILE, line: lineOf(item) })}
                title={`Line ${lineOf(item)} of ${FILE}`}
                className={classes(
                  'inline-flex min-h-6 items-center gap-1 text-xs hover:underline',
                  item.correct ? 'text-good' : 'text-bad',
                )}
              >
                {item.correct ? <Check aria-hidden size={14} /> : <X aria-hidden size={14} />}
                {item.correct ? 'right' : 'wrong'}
              </a>
            </td>
            <td className={CELL}>{item.prompt}</td>
            <td className={CELL}>
              <Narrow term="Expected" />
              {item.expected.trim() || '(nothing)'}
            </td>
            <td className={classes(CELL, !item.correct && 'text-bad')}>
              <Narrow term="The model said" />
              {item.text.trim() || '(nothing)'}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** On a phone the cells stand below each other, and each needs its name. */
function Narrow({ term }: { readonly term: string }) {
  return <span className="block font-sans text-2xs text-ink-3 sm:hidden">{term}</span>
}

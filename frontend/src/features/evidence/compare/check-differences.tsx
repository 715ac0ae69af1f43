import { Link } from '@tanstack/react-router'
import { Equal } from 'lucide-react'
import type { Bundle, CheckResult } from '../../../api/types.ts'
import { Panel } from '../../../ui/panel.tsx'
import { RESULTS } from '../results.ts'
import { checkPairs } from './differences.ts'

/** The checks that do not say the same of both. */
export function CheckDifferences({ a, b }: { readonly a: Bundle; readonly b: Bundle }) {
  const pairs = checkPairs(a, b)
  return (
    <Panel title={`Checks, ${pairs.length} differ`} id="checks" flush>
      {pairs.length === 0 ? (
        <p className="flex items-center gap-2 px-4 py-3 text-sm text-ink-2">
          <Equal aria-hidden size={15} /> Every check says the same of both.
        </p>
      ) : (
        <ul>
          {pairs.map((pair) => (
            <li
              key={pair.id}
              className="grid gap-x-4 gap-y-1 border-b border-line px-4 py-2 text-sm last:border-0 md:grid-cols-2"
            >
              <p className="wrap-anywhere md:col-span-2">
                <span className="mr-2 font-mono text-xs text-ink-3">{pair.id}</span>
                {pair.proves}
              </p>
              <Said name={a.name} id={pair.id} result={pair.a} />
              <Said name={b.name} id={pair.id} result={pair.b} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}

interface SaidProps {
  readonly name: string
  readonly id: string
  readonly result: CheckResult | undefined
}

function Said({ name, id, result }: SaidProps) {
  if (!result) return <p className="text-xs text-ink-3">{name}: not about a bundle of this kind</p>
  const { icon: Icon, ink, word } = RESULTS[result.result]
  return (
    <p className="flex min-w-0 gap-1.5 text-xs">
      <Icon aria-hidden size={14} className={`mt-0.5 shrink-0 ${ink}`} />
      <span className="min-w-0 wrap-anywhere">
        <Link to="/evidence/$name" params={{ name }} hash={`check-${id}`} className="prose-link">
          {name}
        </Link>
        : {word}
        {(result.findings[0]?.sentence ?? result.reason) && `. ${result.findings[0]?.sentence ?? result.reason}`}
      </span>
    </p>
  )
}
